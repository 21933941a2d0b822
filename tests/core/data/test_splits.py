"""Splits: sizes, seeds, and what must never be on both sides."""

from collections import Counter
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.splits import How, folds, limit_per_class, split
from core.errors import InputError


def frame_of(labels: list, **more: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(len(labels))]})
    frame["label"] = pd.Series(labels, dtype=object)
    return frame.assign(file="a.csv", row=range(1, len(labels) + 1), **more)


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    return a["row"].tolist() == b["row"].tolist()


classes = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=80)


@given(classes, st.floats(0.05, 0.9), st.integers(0, 5))
def test_stratified_parts_are_whole_and_keep_every_class(labels: list[str], fraction: float, seed: int) -> None:
    frame = frame_of(labels)
    rest, held = split(frame, fraction, "stratified", seed)
    assert sorted(rest["row"].tolist() + held["row"].tolist()) == frame["row"].tolist()
    assert rest["row"].is_monotonic_increasing and held["row"].is_monotonic_increasing
    counts, kept, out = Counter(labels), Counter(rest["label"]), Counter(held["label"])
    assert set(kept) == set(counts)
    spare = len(labels) - len(counts)
    assert len(held) == min(max(round(fraction * len(labels)), 1), spare)
    wanted = fraction * len(labels)
    if spare >= len(counts) and wanted <= spare and all(n * fraction < n - 1 for n in counts.values()):
        assert all(abs(out[name] - n * len(held) / len(labels)) < 1 + 1e-9 for name, n in counts.items())


@given(st.permutations(range(30)), st.sampled_from(get_args(How)))
def test_the_index_does_not_matter(index: list[int], how: How) -> None:
    time = pd.to_datetime(np.arange(30) * 7 % 30, unit="D", utc=True)
    frame = frame_of(["a", "b", "c"] * 10, group=[str(i % 6) for i in range(30)], time=time)
    first = split(frame, 0.3, how, 1)
    second = split(frame.set_axis(index), 0.3, how, 1)
    for a, b in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_the_seed_matters() -> None:
    frame = frame_of(["a", "b"] * 50)
    assert same(split(frame, 0.2, "stratified", 1)[1], split(frame, 0.2, "stratified", 1)[1])
    assert not same(split(frame, 0.2, "stratified", 1)[1], split(frame, 0.2, "stratified", 2)[1])


@given(st.lists(st.sampled_from(["One", "one ", "two", "TWO", "three", "four", "five"]), min_size=7, max_size=40))
def test_equal_texts_stay_together(texts: list[str]) -> None:
    frame = frame_of(["a" if t.strip().casefold() in ("one", "two") else "b" for t in texts]).assign(text=texts)
    rest, held = split(frame, 0.3, "stratified", 3)
    folded = [{t.strip().casefold() for t in p["text"]} for p in (rest, held)]
    assert not folded[0] & folded[1]


@given(st.lists(st.integers(0, 9), min_size=4, max_size=60).filter(lambda g: len(set(g)) > 3), st.integers(0, 3))
def test_groups_are_never_split(groups: list[int], seed: int) -> None:
    frame = frame_of(["a", "b"] * 30).head(len(groups)).assign(group=[str(g) for g in groups])
    rest, held = split(frame, 0.3, "grouped", seed)
    assert len(rest) and len(held)
    assert not set(rest["group"]) & set(held["group"])
    for train, out in folds(frame, 3, "grouped", seed):
        assert not set(train["group"]) & set(out["group"])


def test_grouped_share_is_close_although_groups_differ_in_size() -> None:
    groups = [str(g) for g in range(40) for _ in range(1 + g % 7)]
    frame = frame_of(["a", "b", "c"] * (len(groups) // 3 + 1)).head(len(groups)).assign(group=groups)
    _, held = split(frame, 0.2, "grouped", 5)
    assert abs(len(held) / len(frame) - 0.2) < 0.03


@given(st.lists(st.integers(0, 50), min_size=2, max_size=50))
def test_temporal_holds_out_the_latest(days: list[int]) -> None:
    frame = frame_of(["a"] * len(days), time=pd.to_datetime(days, unit="D", utc=True))
    rest, held = split(frame, 0.25, "temporal", 0)
    assert len(held) == max(round(0.25 * len(days)), 1)
    assert rest["time"].max() <= held["time"].min()


sets = st.lists(st.lists(st.sampled_from("abcde"), max_size=3, unique=True), min_size=2, max_size=40)


@given(sets, st.integers(0, 3))
def test_multi_label_rest_keeps_every_label(labels: list[list[str]], seed: int) -> None:
    frame = frame_of(labels)
    rest, held = split(frame, 0.4, "stratified", seed)
    assert {n for names in rest["label"] for n in names} == {n for names in labels for n in names}
    assert len(rest) + len(held) == len(frame)


@pytest.mark.parametrize("seed", range(40))
def test_a_frequent_label_among_rare_ones_is_not_lost(seed: int) -> None:
    # Each row with "a" is stratified by its rarer label, so chance alone could hold out all of them.
    rest, _ = split(frame_of([["a", "b"], ["b"], ["a", "c"], ["c"], ["a", "d"], ["d"]]), 0.5, "stratified", seed)
    assert {name for names in rest["label"] for name in names} == set("abcd")


def test_ranking_queries_and_matching_texts_stay_whole() -> None:
    ranking = pd.DataFrame({"query": [f"q{i // 4}" for i in range(40)], "document": [f"d{i}" for i in range(40)]})
    ranking["label"] = [1.0, 0.0, 0.0, 0.0] * 10
    rest, held = split(ranking, 0.2, "stratified", 1)
    assert len(held) == 8
    assert not set(rest["query"]) & set(held["query"])
    for train, out in folds(ranking, 5, "stratified", 1):
        assert not set(train["query"]) & set(out["query"])


@given(classes.filter(lambda c: len(c) > 12), st.integers(2, 5), st.integers(0, 3))
def test_stratified_folds_hold_each_row_out_once(labels: list[str], k: int, seed: int) -> None:
    frame = frame_of(labels)
    counts = Counter(labels)
    movable = sum(n for n in counts.values() if n > 1)
    if movable < k:
        return
    pairs = folds(frame, k, "stratified", seed)
    seen = Counter(row for _, held in pairs for row in held["row"])
    assert len(pairs) == k
    assert set(seen.values()) <= {1}
    single = {row for row, name in zip(frame["row"], labels, strict=True) if counts[name] == 1}
    assert set(frame["row"]) - set(seen) == single
    assert all(len(train) + len(held) == len(frame) for train, held in pairs)


def test_temporal_folds_look_forward_only() -> None:
    frame = frame_of(["a"] * 20, time=pd.to_datetime(np.arange(20)[::-1], unit="D", utc=True))
    pairs = folds(frame, 4, "temporal", 0)
    assert len(pairs) == 4
    assert all(train["time"].max() < held["time"].min() for train, held in pairs)
    assert [len(train) for train, _ in pairs] == sorted(len(train) for train, _ in pairs)


def test_limit_per_class_is_seeded_and_keeps_order() -> None:
    frame = frame_of(["a"] * 10 + ["b"] * 3 + ["c"])
    few = limit_per_class(frame, 4, 1)
    assert Counter(few["label"]) == {"a": 4, "b": 3, "c": 1}
    assert few["row"].is_monotonic_increasing
    assert same(few, limit_per_class(frame, 4, 1))
    assert any(not same(few, limit_per_class(frame, 4, seed)) for seed in range(2, 6))


def test_what_cannot_be_split_is_refused() -> None:
    frame = frame_of(["a", "b", "a", "b"])
    with pytest.raises(InputError, match="group column"):
        split(frame, 0.5, "grouped", 0)
    with pytest.raises(InputError, match="time column"):
        split(frame, 0.5, "temporal", 0)
    with pytest.raises(InputError, match="two groups"):
        split(frame.assign(group="g"), 0.5, "grouped", 0)
    with pytest.raises(InputError, match="between 0 and 1"):
        split(frame, 1.0, "stratified", 0)
    for k in (1, 9):
        with pytest.raises(InputError, match="folds"):
            folds(frame, k, "stratified", 0)
