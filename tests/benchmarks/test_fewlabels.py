"""The few-label benchmark: the same rows for all, what is missing is said, and tables say what was measured."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fewlabels, fewlabels_advice, fewlabels_more, fewlabels_ours, recipes, store
from benchmarks.fewlabels import Bench
from benchmarks.fewlabels_data import TASKS, Few, Task, few
from benchmarks.fewlabels_setfit import all_pairs
from benchmarks.table_fewlabels import fewlabels_table
from core.errors import InputError

FILMS = {"train": {"path": "{datasets}/films.csv", "format": "auto"}, "test": 0.5}
TASK = Task("films", "films", FILMS, 3)


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    rows = [f"{word} film number {i},{label}" for label, word in (("bad", "dull"), ("good", "fine")) for i in range(20)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]))
    return tmp_path


@pytest.fixture
def films(datasets: Path) -> Few:
    return few(TASK, 7, datasets)


def test_rows_are_drawn_per_label_and_more_of_them_include_the_fewer(datasets: Path, films: Few) -> None:
    assert films.labels == ("bad", "good")
    assert films.train["label"].value_counts().to_dict() == {"bad": 3, "good": 3}
    assert not set(films.train["text"]) & set(films.test["text"])
    more = few(Task("films", "films", FILMS, 6), 7, datasets)
    assert set(films.train["text"]) < set(more.train["text"])
    assert list(films.test["text"]) == list(more.test["text"])
    assert set(few(TASK, 8, datasets).train["text"]) != set(films.train["text"])


def test_a_missing_data_set_is_a_reason_and_no_failure(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "found.json", tmp_path, tmp_path / "work")
    fewlabels.few_shot(bench, TASKS[:1], ["tf-idf"], [7])
    part = store.read(bench.out)["parts"]["few-shot/sst2-8/7/tf-idf"]
    assert "train.tsv is missing" in part["skipped"]
    with pytest.raises(InputError, match=r"SEntFiN.csv is missing"):
        fewlabels_advice.advice("SEntFiN titles", tmp_path, tmp_path / "work", 1.0)


def test_without_the_peer_its_rows_say_how_to_get_it(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewlabels, "PEERS", tmp_path / "nowhere" / "python")
    bench = Bench(tmp_path / "found.json", datasets, tmp_path / "work")
    fewlabels.few_shot(bench, [TASK], ["setfit"], [7])
    assert "make peers" in store.read(bench.out)["parts"]["few-shot/films/7/setfit"]["skipped"]


def test_a_system_learns_from_the_file_and_its_guesses_are_judged(tmp_path: Path, films: Few) -> None:
    folder = films.write(tmp_path / "work")
    fewlabels_ours.main([str(folder), "tf-idf", "7"])
    found = json.loads((folder / "tf-idf.json").read_text())
    assert len(found["guesses"]) == len(films.test) and found["seconds"] > 0
    judged = fewlabels._judged(folder, found)
    assert judged["metrics"]["accuracy"] == 1.0 and "guesses" not in judged
    half = {**found, "guesses": [0] * len(films.test)}
    assert fewlabels._judged(folder, half)["metrics"]["f1_macro"] < 0.5


def test_headlines_are_read_once_and_without_their_sentiments(
    make_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"SEntFiN.csv is missing"):
        fewlabels_more.adapted(tmp_path, tmp_path / "work")
    small = make_recipe("lora", "matching", name="adaptation", training={"max_steps": 2})
    (tmp_path / "adaptation.toml").write_text(small.to_toml())
    monkeypatch.setattr(recipes, "SHIPPED", tmp_path)
    (tmp_path / "sentfin").mkdir()
    lines = [
        "S No.,Title,Decisions,Words",
        *(f"{i},bank number {i} fell today,none of this is read,5" for i in range(40)),
    ]
    (tmp_path / "sentfin" / "SEntFiN.csv").write_text("\n".join(lines))
    first, again = (fewlabels_more.adapted(tmp_path, tmp_path / "work") for _ in range(2))
    # A second training would have taken another time.
    assert first.path == again.path and again.train_seconds == pytest.approx(first.train_seconds, abs=0.006)
    assert first.measured_on == "validation" and 0 < (first.metrics["mrr@10"]["value"] or 0) <= 1
    assert "unlabelled = true" in first.card.read_text()


def test_pairs_are_counted_as_the_peer_draws_them() -> None:
    # Two labels of three: 3 + 3 pairs of one label, 9 of two; the fewer are repeated.
    assert all_pairs([0, 0, 0, 1, 1, 1]) == 18
    assert all_pairs([0, 0, 0, 0, 1]) == 12


def _part(value: float, **more: Any) -> dict[str, Any]:
    return {"metrics": {"accuracy": value, "f1_macro": value - 0.1}, "cpu_seconds": 1.5, "settings": {}, **more}


def test_the_difference_to_the_peer_is_paired_by_seed(tmp_path: Path) -> None:
    file = tmp_path / "fewlabels.json"
    for seed, (ours, theirs) in {7: (0.8, 0.7), 8: (0.9, 0.8), 9: (0.7, 0.6), 10: (0.9, None)}.items():
        store.part(file, f"few-shot/sst2-8/{seed}/few-shot", "k", lambda value=ours: _part(value))
        if theirs:
            settings = {"num_iterations": 5, "pairs": 640}
            store.part(
                file, f"few-shot/sst2-8/{seed}/setfit", "k", lambda value=theirs, s=settings: _part(value, settings=s)
            )
    text = fewlabels_table(tmp_path)
    line = next(line for line in text.splitlines() if "headwater few-shot" in line)
    assert "0.825" in line and "+10.0 [+10.0, +10.0] points" in line and "| 4 (3 with setfit) | 1.5 |" in line
    assert "640 pairs (num_iterations = 5) on SST-2, 8 per class" in text
    assert "transfer: not measured yet" in text and "make bench-fewlabels" in text


def test_seconds_transfer_errors_and_advice_have_their_tables(tmp_path: Path) -> None:
    file = tmp_path / "fewlabels.json"
    turns = {"few-shot": [{"seconds": 2.0}, {"seconds": 4.0}], "setfit": [{"seconds": 8.0}, {"seconds": 8.0}]}
    times = {"seconds": [4.0, 2.0], "cpu_seconds": [3.0, 3.0]}
    store.part(
        file,
        "speed/sst2-8",
        "k",
        lambda: {"turns": turns, "times_faster": times, "threads": 2, "rounds": 2},
    )
    for seed in (7, 8, 9):
        store.part(file, f"transfer/phrasebank-64/{seed}/backbone", "k", lambda: _part(0.7))
        store.part(file, f"transfer/phrasebank-64/{seed}/topics", "k", lambda: _part(0.75))
    mrr = {"value": 0.911, "low": 0.9, "high": 0.92}
    before = {"seconds": 150.0, "metrics": {"mrr@10": mrr}}
    for seed, gain in {7: 0.01, 8: 0.02, 9: 0.03}.items():
        name = f"transfer/phrasebank-64/{seed}/headlines without labels"
        store.part(file, name, "k", partial(_part, 0.7 + gain, before=before))
    interval = {"value": 0.9, "low": 0.88, "high": 0.92}
    gap = {"difference": {"value": 0.004, "low": 0.001, "high": 0.007}}
    errors = {"train_rows": 1000, "test_rows": 300, "found": 140, "all": interval, "without": interval}
    store.part(file, "errors/banking77", "k", lambda: {**errors, "random": [0.89, 0.9, 0.91], "difference": gap})
    advice = {"labels": 3, "minutes": 4.2, "advised": "head", "best_there": "few-shot", "right": False, "loss": 0.031}
    store.part(file, "advice/titles", "k", lambda: {**advice, "not_worse_there": ["few-shot"]})
    text = fewlabels_table(tmp_path)
    assert "| SST-2, 8 per class | 4.0 | 8.0 | 4.0× (2.0–4.0) | 3.0× | 2 |" in text
    assert "+5.0 [+5.0, +5.0] points" in text
    line = next(line for line in text.splitlines() if line.startswith("| headlines without labels"))
    assert "| +2.0 [-0.5, +4.5] points | 3 |" in line
    assert text.count("in 2.5 minutes, MRR@10 of held-out ones 0.911") == 1
    assert "140 of BANKING77's 1,000 training rows (14.0%)" in text and "+0.4 [+0.1, +0.7] points" in text
    assert "| titles | 3 | 4.2 | head | few-shot of few-shot | no, 3.1 points |" in text
