"""Small boosted trees scored without branches, for lists of many thousand rows (QuickScorer, Lucchese et al. 2015).

Every split of a tree that a row fails strikes out the leaves on its left. Of the leaves that are left, the first one is
where the row ends. All rows take the same steps, so that they run at the speed of memory and not of guessed branches.
"""

from typing import Any

import numpy as np

from verticals.recommend.histories import Float32, Floats, Ints

MOST_LEAVES = 8  # of a tree: one bit each
_ROWS_AT_ONCE = 512  # what is held of them for all trees stays in the processor's cache


class Trees:
    """A LightGBM booster's trees; ``can_hold`` tells whether they are of the kind that fits."""

    def __init__(self, dumped: dict[str, Any]) -> None:
        trees = [_splits(tree["tree_structure"]) for tree in dumped["tree_info"]]
        depth = max((len(splits) for splits, _ in trees), default=0)
        # Split s of each tree; a tree with fewer has splits that strike out nothing.
        self._features: Ints = np.zeros((depth, len(trees)), dtype=np.int64)
        self._thresholds: Float32 = np.zeros((depth, len(trees), 1), dtype=np.float32)
        self._kept = np.full((depth, len(trees), 1), 255, dtype=np.uint8)
        self._values: Floats = np.zeros((len(trees), 256))
        first = np.array([0, *((bits & -bits).bit_length() - 1 for bits in range(1, 256))])
        for number, (splits, leaves) in enumerate(trees):
            for place, (feature, threshold, kept) in enumerate(splits):
                self._features[place, number] = feature
                self._thresholds[place, number] = _rounded_down(threshold)
                self._kept[place, number] = kept
            self._values[number] = np.pad(leaves, (0, MOST_LEAVES - len(leaves)))[first]

    def score(self, rows: Float32) -> Floats:
        """The sum of the trees' leaves [r] for rows [r, f] without NaN."""
        across = np.ascontiguousarray(rows.T, dtype=np.float32)
        scores = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            scores[start : start + _ROWS_AT_ONCE] = self._some(across[:, start : start + _ROWS_AT_ONCE])
        return scores

    def _some(self, across: Float32) -> Floats:
        left = np.full((len(self._values), across.shape[1]), 255, dtype=np.uint8)
        for features, thresholds, kept in zip(self._features, self._thresholds, self._kept, strict=True):
            holds = (across.take(features, axis=0) <= thresholds).view(np.uint8)
            np.negative(holds, out=holds)  # 1 becomes 255: where the condition holds, nothing is struck out
            np.bitwise_or(holds, kept, out=holds)
            np.bitwise_and(left, holds, out=left)
        places = left + 256 * np.arange(len(left))[:, None]
        return np.asarray(self._values.ravel().take(places).sum(axis=0))


def can_hold(dumped: dict[str, Any]) -> bool:
    """Whether all trees are small and split only by numbers that are never missing."""
    waiting = [tree["tree_structure"] for tree in dumped["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_index" in node:
            if node["decision_type"] != "<=" or node["missing_type"] != "None":
                return False
            waiting += [node["left_child"], node["right_child"]]
    return all(tree["num_leaves"] <= MOST_LEAVES for tree in dumped["tree_info"])


def _splits(root: dict[str, Any]) -> tuple[list[tuple[int, float, int]], list[float]]:
    """Feature, threshold and the bits of the leaves kept where it fails, of each split; leaves from left to right."""
    splits: list[tuple[int, float, int]] = []
    leaves: list[float] = []

    def walk(node: dict[str, Any]) -> None:
        if "split_index" not in node:
            leaves.append(float(node["leaf_value"]))
            return
        first = len(leaves)
        walk(node["left_child"])
        struck = (1 << len(leaves)) - (1 << first)
        splits.append((int(node["split_feature"]), float(node["threshold"]), 255 & ~struck))
        walk(node["right_child"])

    walk(root)
    return splits, leaves


def _rounded_down(threshold: float) -> np.float32:
    """The largest float32 that is not above: a float32 value lies on the same side of both."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))
