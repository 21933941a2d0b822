"""Wrong labels planted among right ones are what the list names."""

import numpy as np
import pytest

from core.errors import InputError
from core.fewlabels.label_errors import suspects


def _clusters(seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    chance = np.random.default_rng(seed)
    labels = [name for name in ("a", "b", "c") for _ in range(40)]
    centres = np.eye(3, 8)[np.repeat([0, 1, 2], 40)]
    return [f"text {i}" for i in range(120)], labels, (centres + chance.normal(0, 0.15, (120, 8))).astype(np.float32)


def test_planted_errors_are_found_worst_first() -> None:
    texts, labels, vectors = _clusters()
    planted = {3: "b", 50: "c", 99: "a"}
    given = [planted.get(i, label) for i, label in enumerate(labels)]
    found = suspects(texts, given, vectors)
    assert {s.row for s in found} >= set(planted) and len(found) <= 8
    assert {s.row: s.suggested for s in found if s.row in planted} == {i: labels[i] for i in planted}
    qualities = [s.quality for s in found]
    assert qualities == sorted(qualities)
    assert found[0].to_dict()["text"] == texts[found[0].row]


def test_clean_labels_raise_few_doubts() -> None:
    assert len(suspects(*_clusters(1))) <= 2


@pytest.mark.parametrize(("labels", "says"), [(["a"] * 6, "same label"), (["a"] * 5 + ["b"], "'b' has one row")])
def test_too_little_to_judge_by_is_refused(labels: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        suspects(["x"] * 6, labels, np.ones((6, 2), np.float32))


def test_a_thousand_labels_of_two_rows_are_judged() -> None:
    chance = np.random.default_rng(0)
    labels = [f"label {number:03d}" for number in range(1000) for _ in range(2)]
    centres = np.repeat(chance.normal(size=(1000, 8)), 2, axis=0)
    found = suspects(labels, labels, (centres + chance.normal(0, 0.01, centres.shape)).astype(np.float32))
    assert all(0 <= one.quality <= 1 and one.given == labels[one.row] for one in found)
