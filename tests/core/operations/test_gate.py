"""The gate: a winner passes, and each way to be worse is refused with its reason."""

import numpy as np
import pytest

from core.operations.gate import Decision, GateConfig, Rows, decide

LABELS = ("a", "b")


def rows(champion: list[bool], challenger: list[bool], recent: list[bool] | None = None, sure: float = 0.8) -> Rows:
    """Rows of class a and b in turn; the flags say which model is right where."""
    truth = np.arange(len(champion)) % 2

    def answers(right: list[bool], sure: float) -> np.ndarray:
        called = np.where(right, truth, 1 - truth)
        return np.where(np.eye(2)[called] == 1, sure, 1 - sure)

    marks = np.array(recent if recent is not None else [False] * len(truth))
    slices = {f"label {name}": (truth == index) & ~marks for index, name in enumerate(LABELS)}
    return Rows(truth, answers(champion, 0.8), answers(challenger, sure), LABELS, marks, slices)


def verdict(found: Rows, **latency: tuple[float, float]) -> Decision:
    return decide(found, GateConfig(), **latency)


BAD, GOOD = [n % 5 < 3 for n in range(200)], [n % 5 < 4 for n in range(200)]


def test_a_winner_is_promoted() -> None:
    found = verdict(rows(BAD, GOOD), latency=(0.01, 0.011))
    assert found.promote and found.reasons == ()
    assert found.figures["all"]["accuracy"]["difference"]["low"] > 0
    assert set(found.figures["slices"]) == {"label a", "label b"}


def test_the_same_again_is_not() -> None:
    found = verdict(rows(GOOD, GOOD))
    assert not found.promote and "it does not win" in found.reasons[0]


def test_a_gain_on_corrections_does_not_pay_for_the_frozen_test() -> None:
    recent = [False] * 100 + [True] * 100
    champion = [True] * 90 + [False] * 110
    challenger = [True] * 80 + [False] * 20 + [True] * 100
    found = verdict(rows(champion, challenger, recent))
    assert not found.promote
    assert any("loses 0.100 accuracy on the frozen test" in reason for reason in found.reasons)


def test_a_slice_that_regresses_is_named() -> None:
    champion = [n % 2 == 0 or n % 10 < 2 for n in range(200)]  # right on a
    challenger = [n % 2 == 1 or n % 10 < 6 for n in range(200)]  # right on b, less on a
    found = verdict(rows(champion, challenger))
    assert not found.promote and any("slice label a loses 0.4" in reason for reason in found.reasons)


def test_wrong_confidence_and_slowness_are_refused() -> None:
    found = verdict(rows(GOOD, [n % 10 < 9 for n in range(200)], sure=0.55))
    assert found.reasons == ("its calibration error is 0.350 after 0.000.",)
    found = verdict(rows(BAD, GOOD), latency=(0.01, 0.02))
    assert found.reasons == ("it is 2.0 times as slow; 1.5 are allowed.",)


@pytest.mark.parametrize("n", [2, 49])
def test_too_few_rows_decide_nothing(n: int) -> None:
    found = verdict(rows([False] * n, [True] * n))
    assert not found.promote and found.reasons == (f"{n} rows are too few to decide on; 50 are needed.",)
