"""The in-batch softmax that knows its pairs: targets, popularity, and what the plain loss gets wrong."""

import numpy as np
import pytest
import torch
from torch import nn

from core.tuning.matching_loss import KnownPairsLoss, PairTable


class Given(nn.Module):
    """Hands on the vectors it is given."""

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": features["vectors"]}


def parts(*columns: list[list[float]]) -> list[dict[str, torch.Tensor]]:
    return [{"vectors": torch.tensor(column)} for column in columns]


AXES = [[1.0, 0.0], [0.0, 1.0]]


def test_the_table_counts_pairs_and_shares() -> None:
    table = PairTable(["a", "a", "b"], ["x", "x", "y"])
    counts, log_share = table.batch(np.array([0, 2]))
    assert counts.tolist() == [[2.0, 0.0], [0.0, 1.0]]
    assert np.exp(log_share) == pytest.approx([2 / 3, 1 / 3])


def test_without_repeats_it_is_the_plain_loss() -> None:
    table = PairTable(["a", "b"], ["x", "y"])
    loss = KnownPairsLoss(Given(), table, 10.0, 0.0)
    given = parts(AXES, [[0.8, 0.6], [0.6, 0.8]])
    expected = nn.functional.cross_entropy(torch.tensor(AXES) @ given[1]["vectors"].T * 10, torch.tensor([0, 1]))
    assert loss(given, torch.tensor([0, 1])).item() == pytest.approx(expected.item(), abs=1e-5)


def test_another_positive_of_the_text_is_no_negative() -> None:
    table = PairTable(["a", "a"], ["x", "y"])
    loss = KnownPairsLoss(Given(), table, 20.0, 0.0)
    both_near = parts([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]])
    one_far = parts([[1.0, 0.0], [1.0, 0.0]], AXES)
    rows = torch.tensor([0, 1])
    assert loss(both_near, rows).item() == pytest.approx(np.log(2), abs=1e-5)
    assert loss(one_far, rows).item() > loss(both_near, rows).item()


def test_the_correction_is_taken_off_frequent_positives() -> None:
    table = PairTable(["a", "b", "b", "b"], ["x", "y", "y", "y"])
    vectors = parts([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]])
    rows = torch.tensor([0, 1])
    plain, corrected = (KnownPairsLoss(Given(), table, 1.0, share)(vectors, rows).item() for share in (0.0, 1.0))
    assert plain == pytest.approx(np.log(2), abs=1e-5)
    # Equal scores: row a expects x by 1/4 against 3/4, divided by the shares; the two rows' mean.
    shares = np.array([1 / 0.25, 1 / 0.75])
    assert corrected == pytest.approx(-np.log(shares / shares.sum()).mean(), abs=1e-5)


def test_mined_negatives_are_pushed_away() -> None:
    table = PairTable(["a", "b"], ["x", "y"])
    loss = KnownPairsLoss(Given(), table, 10.0, 1.0)
    near, far = parts(AXES, AXES, AXES), parts(AXES, AXES, AXES[::-1])
    rows = torch.tensor([0, 1])
    assert loss(near, rows).item() > loss(far, rows).item()
