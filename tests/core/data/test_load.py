"""From [data] to checked parts, as a recipe asks for it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.data.load import Dataset, load
from core.data.table import Task
from core.errors import InputError
from core.settings import get_settings
from core.tuning.recipe import DataConfig

NAMES = ("card", "fee", "loan")


def table(path: Path, rows: Sequence[tuple[str, ...]], header: str = "text,label") -> dict[str, Any]:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return {"path": path}


def config(**values: Any) -> DataConfig:
    return DataConfig.model_validate(values)


def held_out(dataset: Dataset) -> pd.DataFrame:
    assert dataset.test is not None
    return dataset.test


def examples(n: int, word: str = "sentence") -> list[tuple[str, ...]]:
    return [(f"{word} number {i}", NAMES[i % 3]) for i in range(n)]


def texts(dataset: Dataset) -> list[set[str]]:
    parts = (dataset.train, dataset.validation, held_out(dataset))
    return [{" ".join(t.casefold().split()) for t in p["text"]} for p in parts]


def test_fractions_are_cut_and_reproducible(tmp_path: Path) -> None:
    data = config(train=table(tmp_path / "a.csv", examples(300)), test=0.2)
    first, again, other = (
        load(data, "classification", 7),
        load(data, "classification", 7),
        load(data, "classification", 8),
    )
    assert (len(first.train), len(first.validation), len(held_out(first))) == (216, 24, 60)
    assert first.labels == sorted(NAMES)
    assert first.findings == []
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.to_dict()["rows"] == {"train": 216, "validation": 24, "test": 60}


def test_the_fingerprint_is_of_what_the_rows_say(tmp_path: Path) -> None:
    a = config(train=table(tmp_path / "a.csv", examples(30)))
    b = config(train=table(tmp_path / "b.csv", examples(30)))
    c = config(train=table(tmp_path / "c.csv", [*examples(29), ("sentence number 29", "card")]))
    prints = [load(data, "classification", 1).fingerprint for data in (a, b, c)]
    assert prints[0] == prints[1] != prints[2]
    assert len(prints[0]) == 64


def test_duplicates_never_sit_on_both_sides(tmp_path: Path) -> None:
    rows = examples(60)
    rows += [(text.upper(), label) for text, label in rows] + rows
    for duplicates in ("drop", "keep"):
        data = config(
            train=table(tmp_path / "a.csv", rows), test=0.3, validation=0.2, checks={"duplicates": duplicates}
        )
        dataset = load(data, "classification", 3)
        train, validation, test = texts(dataset)
        assert not (train & validation or train & test or validation & test)
        assert all(f.kind == "duplicate" for f in dataset.findings)


def test_relabel_and_joined_sources(tmp_path: Path) -> None:
    data = config(
        train=[
            table(tmp_path / "a.csv", examples(30)),
            table(tmp_path / "b.csv", [(f"other {i}", "cards") for i in range(9)])
            | {"relabel": {"cards": "card", "x": "y"}},
        ],
        validation=0.2,
    )
    dataset = load(data, "classification", 1)
    assert dataset.labels == sorted(NAMES)
    assert len(dataset.train) + len(dataset.validation) == 39
    assert [(f.kind, f.count) for f in dataset.findings] == [("relabel", 1)]
    swapped = config(train=table(tmp_path / "a.csv", examples(30)) | {"relabel": {"card": "fee", "fee": "card"}})
    train = load(swapped, "classification", 1).train
    assert {(int(t.split()[-1]) % 3, label) for t, label in zip(train["text"], train["label"], strict=True)} == {
        (0, "fee"),
        (1, "card"),
        (2, "loan"),
    }


def test_separate_parts_stay_as_published(tmp_path: Path) -> None:
    data = config(
        train=table(tmp_path / "a.csv", examples(30)),
        validation=table(tmp_path / "v.csv", [*examples(3, "val"), *examples(3, "val")]),
        test=table(tmp_path / "t.csv", [*examples(6), ("Fresh", "CARD ")]),
    )
    dataset = load(data, "classification", 1)
    assert (len(dataset.train), len(dataset.validation), len(held_out(dataset))) == (24, 6, 7)
    assert held_out(dataset)["label"].tolist()[-1] == "card"
    assert sorted((f.kind, f.action, f.count) for f in dataset.findings) == [
        ("duplicate", "kept", 3),
        ("label_typo", "repaired", 1),
        ("leakage", "dropped", 6),
    ]


def test_limit_per_class_leaves_the_test_part_alone(tmp_path: Path) -> None:
    source = table(tmp_path / "a.csv", examples(300))
    sets = [
        load(config(train=source, test=0.2, validation=0.25, limit_per_class=n), "classification", 7) for n in (4, 40)
    ]
    assert [len(d.train) + len(d.validation) for d in sets] == [12, 120]
    assert held_out(sets[0])["row"].tolist() == held_out(sets[1])["row"].tolist()


def test_data_too_small_for_a_row_of_each_class(tmp_path: Path) -> None:
    rows = [(f"text {i}", f"class {i // 2}") for i in range(40)]
    dataset = load(config(train=table(tmp_path / "a.csv", rows)), "classification", 1)
    assert (len(dataset.train), len(dataset.validation)) == (36, 4)
    assert len(dataset.labels) == 20
    assert "small_validation" in [f.kind for f in dataset.findings]
    lonely = load(config(train=table(tmp_path / "b.csv", rows[::2])), "classification", 1)
    assert (len(lonely.train), len(lonely.validation)) == (20, 0)
    assert [f.kind for f in lonely.findings] == ["rare_class", "small_validation"]


def test_grouped_and_temporal(tmp_path: Path) -> None:
    rows = [(f"text {i}", NAMES[i % 3], f"user {i % 10}", f"2024-01-{1 + i % 28:02}") for i in range(120)]
    source = table(tmp_path / "a.csv", rows, "text,label,user,day")
    grouped = load(config(train=source, test=0.2, group="user", split="grouped"), "classification", 1)
    sides = [set(p["group"]) for p in (grouped.train, grouped.validation, held_out(grouped))]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    temporal = load(config(train=source, test=0.2, time="day", split="temporal"), "classification", 1)
    assert temporal.train["time"].max() <= temporal.validation["time"].min()
    assert temporal.validation["time"].max() <= held_out(temporal)["time"].min()


def test_a_text_that_comes_back_later_leaves_train(tmp_path: Path) -> None:
    rows = [(f"text {i}", NAMES[i % 3], f"2024-01-{1 + i:02}") for i in range(30)]
    rows[28] = ("Text 1", "fee", "2024-01-29")
    source = table(tmp_path / "a.csv", rows, "text,label,day")
    dataset = load(config(train=source, test=0.2, time="day", split="temporal"), "classification", 1)
    assert len(held_out(dataset)) == 6
    assert "text 1" not in set(dataset.train["text"]) | set(dataset.validation["text"])
    found = [(f.action, f.examples) for f in dataset.findings if f.kind == "leakage"]
    assert found == [("dropped", (f"{source['path']}:3 text",))]


def test_multi_label(tmp_path: Path) -> None:
    rows = [(f"text {i}", "|".join(NAMES[: 1 + i % 3])) for i in range(60)]
    data = config(train=table(tmp_path / "a.csv", rows), test=0.2, multi_label=True)
    dataset = load(data, "classification", 1)
    assert dataset.labels == sorted(NAMES)
    assert len(held_out(dataset)) == 12


@pytest.mark.parametrize("task", ["matching", "generation"])
def test_tasks_without_labels(tmp_path: Path, task: Task) -> None:
    header = {"matching": "text,positive", "generation": "prompt,reply"}[task]
    rows = [(f"question {i // 2}", f"answer {i}") for i in range(60)]
    dataset = load(config(train=table(tmp_path / "a.csv", rows, header), test=0.2), task, 1)
    first = header.split(",")[0]
    assert (len(dataset.train), len(held_out(dataset))) == (44, 12)
    assert dataset.labels == []
    assert not set(dataset.train[first]) & set(held_out(dataset)[first])


def test_refusals(tmp_path: Path) -> None:
    train = table(tmp_path / "a.csv", examples(30))
    odd = table(tmp_path / "t.csv", [("fresh", "card"), ("new", "odd")])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"test": odd}, r"t.csv:3 label: 'odd' is in test but never in train"),
        ({"test": table(tmp_path / "b.csv", [("", "card")])}, "data.test: no usable row"),
        ({"split": "grouped"}, "group column"),
        (
            {
                "train": [
                    train,
                    table(tmp_path / "p.csv", [("a", "b", "card")], "text,pair,label")
                    | {"columns": {"text_pair": "pair"}},
                ]
            },
            "only one has text_pair",
        ),
        (
            {"train": table(tmp_path / "c.csv", [(f"t{i}", "card") for i in range(9)])},
            "every usable row has the label 'card'",
        ),
    ]
    for more, expected in cases:
        with pytest.raises(InputError, match=expected):
            load(config(**{"train": train, **more}), "classification", 1)
    with pytest.raises(InputError, match="multi_label is for classification"):
        load(config(train=train, multi_label=True), "matching", 1)


def test_sources_stay_light_and_data_does_not_know_tuning() -> None:
    code = (
        "import sys, core.data.sources, core.data.formats; "
        "heavy = {'pandas', 'sklearn', 'torch', 'pyarrow'} & set(sys.modules); assert not heavy, heavy; "
        "import core.data.load; assert not [m for m in sys.modules if m.startswith('core.tuning')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_phrasebank_80_20_is_reproducible() -> None:
    path = get_settings().datasets / "phrasebank/Sentences_50Agree.txt"
    if not path.exists():
        pytest.skip(f"{path} is not here; point HEADWATER_DATASETS at the folder of public data sets")
    data = config(train={"path": path, "format": "phrasebank"}, test=0.2)
    dataset = load(data, "classification", 7)
    assert dataset.fingerprint == load(data, "classification", 7).fingerprint
    assert (len(dataset.train), len(dataset.validation), len(held_out(dataset))) == (3482, 387, 967)
    shares = [p["label"].value_counts(normalize=True) for p in (dataset.train, dataset.validation, held_out(dataset))]
    assert all((shares[0] - other).abs().max() < 0.005 for other in shares[1:])
    assert dataset.licences == {"phrasebank": "CC BY-NC-SA 3.0"}


def test_sst2_is_loaded_in_seconds() -> None:
    import time

    folder = get_settings().datasets / "sst2"
    if not folder.exists():
        pytest.skip(f"{folder} is not here; point HEADWATER_DATASETS at the folder of public data sets")
    parts = {n: {"path": folder / f, "format": "sst2"} for n, f in (("train", "train.tsv"), ("test", "test.tsv"))}
    start = time.process_time()
    dataset = load(config(**parts), "classification", 7)
    assert time.process_time() - start < 6
    assert len(held_out(dataset)) == 872
    assert len(dataset.train) > 50_000
