"""Every rule of the checks: what it does to train, that it leaves test intact, and what it reports."""

import time

import pandas as pd
import pytest

from core.data.checks import check
from core.data.keys import normalise
from core.data.sources import Checks
from core.errors import InputError


def part(name: str, *rows: tuple, columns: tuple[str, ...] = ("text", "label")) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(columns))
    return frame.assign(file=f"{name}.csv", row=range(2, len(frame) + 2))


BASE = (("good one", "pos"), ("bad one", "neg"), ("nice one", "pos"), ("poor one", "neg"))


def test_clean_parts_pass_unchanged() -> None:
    train, test = part("train", *BASE), part("test", ("fair", "pos"))
    parts, findings = check({"train": train, "test": test}, "classification", Checks())
    assert findings == []
    pd.testing.assert_frame_equal(parts["train"], train)
    pd.testing.assert_frame_equal(parts["test"], test)


@pytest.mark.parametrize("text", ["", "  \t", None, float("nan"), "\u200b \ufeff", "\u00a0"])
def test_blank_text_is_dropped_or_refused(text: object) -> None:
    parts = {"train": part("train", *BASE, (text, "pos"))}
    cleaned, findings = check(parts, "classification", Checks())
    assert len(cleaned["train"]) == 4
    assert findings[0].to_dict() == {
        "kind": "blank_text",
        "action": "dropped",
        "count": 1,
        "examples": ["train.csv:6 text"],
        "message": findings[0].message,
    }
    with pytest.raises(InputError, match="train.csv:6 text"):
        check(parts, "classification", Checks(blank_text="refuse"))


def test_missing_label_is_dropped_or_refused() -> None:
    parts = {"train": part("train", *BASE, ("x", None)), "test": part("test", ("y", None), ("z", "pos"))}
    cleaned, findings = check(parts, "classification", Checks())
    assert {n: len(f) for n, f in cleaned.items()} == {"train": 4, "test": 1}
    assert [(f.kind, f.examples) for f in findings] == [
        ("missing_label", ("train.csv:6 label",)),
        ("missing_label", ("test.csv:2 label",)),
    ]
    with pytest.raises(InputError, match="train.csv:6 label"):
        check(parts, "classification", Checks(missing_label="refuse"))


def test_duplicates_leave_train_only() -> None:
    parts = {
        "train": part("train", *BASE, BASE[0], BASE[0]),
        "test": part("test", ("new", "pos"), ("new", "pos")),
    }
    cleaned, findings = check(parts, "classification", Checks())
    assert cleaned["train"]["row"].tolist() == [2, 3, 4, 5]
    assert len(cleaned["test"]) == 2
    assert [(f.kind, f.action, f.count) for f in findings] == [
        ("duplicate", "dropped", 2),
        ("duplicate", "kept", 1),
    ]
    kept, _ = check(parts, "classification", Checks(duplicates="keep"))
    assert len(kept["train"]) == 6


def test_conflicts_follow_the_majority_and_drop_ties() -> None:
    rows = [
        *BASE,
        ("So so", "pos"),
        ("so  so", "neg"),
        ("SO SO", "pos"),  # majority pos: row 7 goes
        ("tie", "pos"),
        ("Tie", "neg"),  # both go
        ("twice", "neg"),
        ("twice", "neg"),
        ("twice", "pos"),  # exact repeats are two votes
    ]
    parts = {"train": part("train", *rows), "test": part("test", ("odd", "pos"), ("ODD", "neg"))}
    cleaned, findings = check(parts, "classification", Checks())
    assert cleaned["train"]["row"].tolist() == [2, 3, 4, 5, 6, 8, 11]
    assert len(cleaned["test"]) == 2
    assert [(f.kind, f.action, f.count) for f in findings] == [
        ("conflict", "dropped", 4),
        ("conflict", "kept", 2),
        ("duplicate", "dropped", 1),
    ]
    dropped, _ = check(parts, "classification", Checks(conflicts="drop"))
    assert dropped["train"]["row"].tolist() == [2, 3, 4, 5]
    with pytest.raises(InputError, match="train.csv:6 label"):
        check(parts, "classification", Checks(conflicts="refuse"))


@pytest.mark.parametrize(("a", "b"), [("ℌello", "HELLO"), ("ﬁne  day\n", "Fine day"), ("Ｓtraße", "STRASSE")])
def test_equal_to_the_eye_is_the_same_text(a: str, b: str) -> None:
    assert normalise(a) == normalise(b)


def test_leakage_leaves_train() -> None:
    parts = {
        "train": part("train", *BASE, ("plain", "pos")),
        "validation": part("validation", ("GOOD  one", "pos"), ("both", "neg")),
        "test": part("test", ("ｂad one", "neg"), ("Both", "neg")),
    }
    cleaned, findings = check(parts, "classification", Checks())
    assert cleaned["train"]["row"].tolist() == [4, 5, 6]
    assert (len(cleaned["validation"]), len(cleaned["test"])) == (2, 2)
    assert [(f.action, f.examples) for f in findings if f.kind == "leakage"] == [
        ("dropped", ("train.csv:2 text",)),
        ("dropped", ("train.csv:3 text",)),
        ("kept", ("validation.csv:3 text",)),
    ]
    reported, _ = check(parts, "classification", Checks(leakage="report"))
    assert len(reported["train"]) == 5
    with pytest.raises(InputError, match="train.csv:2 text.*validation"):
        check(parts, "classification", Checks(leakage="refuse"))


def test_unseen_labels_are_refused_or_dropped() -> None:
    parts = {"train": part("train", *BASE), "test": part("test", ("x", "pos"), ("y", "odd"))}
    with pytest.raises(InputError, match="test.csv:3 label: 'odd' is in test but never in train"):
        check(parts, "classification", Checks())
    cleaned, findings = check(parts, "classification", Checks(unseen_labels="drop"))
    assert cleaned["test"]["text"].tolist() == ["x"]
    assert [(f.kind, f.count) for f in findings] == [("unseen_label", 1)]


def test_label_spellings_follow_train() -> None:
    rows = [
        ("a", "fee_charged"),
        ("b", "fee_charged"),
        ("c", "Fee charged "),
        ("d", "-1"),
        ("e", "1"),
        ("f", "-1"),
    ]
    parts = {
        "train": part("train", *rows, ("g", "1")),
        "test": part("test", ("x", "FEE-CHARGED"), ("y", "1")),
    }
    cleaned, findings = check(parts, "classification", Checks())
    assert set(cleaned["train"]["label"]) == {"fee_charged", "-1", "1"}
    assert cleaned["test"]["label"].tolist() == ["fee_charged", "1"]
    assert [(f.kind, f.action, f.examples) for f in findings] == [
        ("label_typo", "repaired", ("train.csv:4 label",)),
        ("label_typo", "repaired", ("test.csv:2 label",)),
    ]


def test_one_class_and_empty_parts_are_refused() -> None:
    with pytest.raises(InputError, match="label 'pos'"):
        check({"train": part("train", ("a", "pos"), ("b", "pos"))}, "classification", Checks())
    with pytest.raises(InputError, match="data.train"):
        check({"train": part("train", ("", "pos"))}, "classification", Checks())
    with pytest.raises(InputError, match="data.test"):
        check({"train": part("train", *BASE), "test": part("test", ("", "pos"))}, "classification", Checks())


def test_rare_class_is_told() -> None:
    cleaned, findings = check({"train": part("train", *BASE, ("x", "odd"))}, "classification", Checks())
    assert len(cleaned["train"]) == 5
    assert [(f.kind, f.count, f.examples) for f in findings] == [("rare_class", 1, ("train.csv:6 label",))]


def test_multi_label_rules() -> None:
    rows = [
        ("a", ["x", "y"]),
        ("b", ["y"]),
        ("c", []),
        ("d", None),
        ("A", ["y", "x"]),  # the same set: no conflict, no exact repeat
        ("b", ["x"]),  # a tie with row 3
        ("e", ["X", "y"]),
        ("e", ["y", "x"]),
    ]
    parts = {"train": part("train", *rows), "test": part("test", ("t", ["x"]), ("u", ["z", "x"]))}
    cleaned, findings = check(parts, "classification", Checks(unseen_labels="drop"), multi_label=True)
    assert cleaned["train"]["row"].tolist() == [2, 4, 6, 8]
    assert cleaned["train"]["label"].tolist()[-1] == ["x", "y"]
    assert cleaned["test"]["text"].tolist() == ["t"]
    kinds = [f.kind for f in findings]
    assert kinds == ["missing_label", "label_typo", "conflict", "duplicate", "unseen_label"]
    with pytest.raises(InputError, match="test.csv:3 label: 'z'"):
        check(parts, "classification", Checks(), multi_label=True)


def test_ranking_and_matching_and_generation() -> None:
    ranking = part(
        "train",
        ("q", "d1", 1.0),
        ("q", "d2", 0.0),
        ("Q", "D2", 1.0),
        ("q", "d1", 1.0),
        columns=("query", "document", "label"),
    )
    cleaned, findings = check({"train": ranking.assign(label=[1.0, 0.0, 0.0, 1.0])}, "ranking", Checks())
    assert cleaned["train"]["row"].tolist() == [2, 3, 4]
    cleaned, findings = check({"train": pd.concat([ranking, ranking.iloc[1:2].assign(row=9)])}, "ranking", Checks())
    assert cleaned["train"]["row"].tolist() == [2, 3]
    assert [(f.kind, f.count) for f in findings] == [("conflict", 1), ("duplicate", 2)]
    matching = part("train", ("q", "a"), ("q", "b"), ("q", "a"), ("r", ""), columns=("text", "positive"))
    test = part("test", ("Q", "c"), columns=("text", "positive"))
    cleaned, findings = check({"train": matching}, "matching", Checks())
    assert cleaned["train"]["row"].tolist() == [2, 3]
    with pytest.raises(InputError, match="train.csv:2 text"):
        check({"train": matching, "test": test}, "matching", Checks(leakage="refuse"))
    generation = part("train", ("p", "r"), (" ", "r"), columns=("prompt", "reply"))
    cleaned, findings = check({"train": generation}, "generation", Checks())
    assert [f.examples for f in findings] == [("train.csv:3 prompt",)]


def test_input_frames_are_not_changed() -> None:
    train = part("train", *BASE, BASE[0], ("", "pos"), ("x", "POS"))
    before = train.copy(deep=True)
    check({"train": train}, "classification", Checks())
    pd.testing.assert_frame_equal(train, before)


def test_sixty_thousand_rows_in_seconds() -> None:
    n = 60_000
    rows = [(f"some words of text number {i % 55_000}, and then a few more", f"label {i % 7}") for i in range(n)]
    parts = {"train": part("train", *rows), "test": part("test", *rows[:3_000])}
    start = time.process_time()
    cleaned, _ = check(parts, "classification", Checks())
    assert time.process_time() - start < 5
    assert 0 < len(cleaned["train"]) < n
