"""The trees outside LightGBM say what LightGBM says, on every side of every threshold."""

import pickle

import numpy as np
import pytest

from verticals.recommend.ranking import LambdaMart, fit_lambdamart


def _lists(random: np.random.Generator, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rows = random.normal(0, 1, (2000, 5)).astype(np.float32)
    rows = rows if steps is None else np.round(rows * steps) / np.float32(steps)
    return rows, (rows[:, 0] + rows[:, 1] ** 2 + random.normal(0, 0.3, 2000) > 1.5).astype(np.int64)


@pytest.mark.parametrize("steps", [None, 4])
def test_trees_score_as_lightgbm_does(steps: int | None) -> None:
    random = np.random.default_rng(3)
    rows, relevant = _lists(random, steps)
    made = fit_lambdamart(rows, relevant, np.full(40, 50), tuple("abcde"), trees=30)
    asked = np.concatenate([rows, _thresholds(made)])
    assert made.trees is not None
    assert made.score(asked) == pytest.approx(made.booster.predict(asked), abs=1e-5)
    assert np.ptp(made.score(rows)) > 0.1
    assert pickle.loads(pickle.dumps(made)).score(rows) == pytest.approx(made.score(rows))
    assert made.score(np.full((1, 5), np.nan, np.float32)) == pytest.approx(made.score(np.zeros((1, 5), np.float32)))
    assert made.score(rows[:0]).shape == (0,)


def test_trees_keep_to_the_side_of_a_missing_value() -> None:
    random = np.random.default_rng(4)
    rows, relevant = _lists(random)
    rows[random.random(rows.shape) < 0.2] = np.nan
    made = fit_lambdamart(rows, relevant, np.full(40, 50), tuple("abcde"), trees=10)
    assert made.trees is None  # LightGBM itself keeps which side that is
    assert made.score(rows) == pytest.approx(made.booster.predict(rows), abs=1e-5)


def test_a_tree_that_is_one_leaf_scores_all_alike() -> None:
    made = fit_lambdamart(np.ones((20, 2), np.float32), np.arange(20) % 2, np.array([20]), ("a", "b"), trees=3)
    rows = np.ones((4, 2), np.float32)
    assert made.score(rows) == pytest.approx(made.booster.predict(rows), abs=1e-6)


def _thresholds(made: LambdaMart) -> np.ndarray:
    """Rows that lie exactly on the float32 values around each threshold."""
    rows = []
    for tree in made.booster.dump_model()["tree_info"]:
        waiting = [tree["tree_structure"]]
        while waiting:
            node = waiting.pop()
            if "threshold" in node:
                # LightGBM takes what lies within 1e-35 of 0, where it puts the threshold of "above 0", for 0 itself.
                at = np.float32(node["threshold"] if abs(node["threshold"]) > 1e-30 else 0.0)
                near = (np.nextafter(at, np.float32(-9)), at, np.nextafter(at, np.float32(9)))
                for value in near if at else (np.float32(-1e-30), at, np.float32(1e-30)):
                    rows.append(np.full(5, value, np.float32))
                waiting += [node["left_child"], node["right_child"]]
    return np.array(rows)
