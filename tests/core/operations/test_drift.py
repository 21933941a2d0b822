"""Drift: none between halves of one thing, some between two things, and measures that keep their promises."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import InputError
from core.operations.drift import jensen_shannon, mmd, psi, read_texts, report

COUNTS = arrays(np.float64, 6, elements=st.integers(0, 1000).map(float))


@pytest.fixture
def texts(make_rows: Callable[..., Any]) -> Callable[..., list[str]]:
    """``texts(seed, *topics)``: made-up sentences on these topics, all unless given."""

    def make(seed: int, *topics: str) -> list[str]:
        rows = make_rows("classification", 60, seed=seed)
        return [row["text"] for row in rows if not topics or row["label"] in topics]

    return make


@dataclass(frozen=True)
class Answer:
    label: str
    probability: float


class Keywords:
    """Says the topic by a text's words; surer the shorter the text."""

    def __init__(self, topics: dict[str, list[str]]) -> None:
        self.topics, self.labels = topics, list(topics)

    def predict(self, texts: list[str]) -> list[Answer]:
        def best(text: str) -> str:
            return max(self.labels, key=lambda label: len(set(self.topics[label]) & set(text.split())))

        return [Answer(best(text), 1 / len(text.split())) for text in texts]


@pytest.fixture
def keywords() -> Keywords:
    return Keywords({"else": [], "weather": ["rain", "storm", "wind", "cloud", "sun", "snow", "frost", "heat"]})


def levels(found: Any) -> dict[str, str]:
    return {measure.name: measure.level for measure in found.measures}


def test_more_of_the_same_is_no_drift(texts: Callable[..., list[str]], keywords: Keywords) -> None:
    found = report(texts(1), texts(2), keywords)
    assert levels(found) == dict.fromkeys(("words", "length", "labels", "confidence"), "none")
    assert found.level == "none" and found.verdict.startswith("no drift")
    assert json.loads(json.dumps(found.to_dict()))["reference"] == 180


def test_another_subject_is_drift_of_words_and_answers(texts: Callable[..., list[str]], keywords: Keywords) -> None:
    found = report(texts(1, "money", "sport"), texts(2, "weather"), keywords)
    assert found.level == "strong" and levels(found)["words"] == levels(found)["labels"] == "strong"
    assert "strong drift of words" in found.verdict


def test_longer_texts_are_drift_of_length_and_confidence(texts: Callable[..., list[str]], keywords: Keywords) -> None:
    before = texts(1)
    found = report(before, [f"{text} {text}" for text in before], keywords)
    assert levels(found) == {"words": "none", "length": "strong", "labels": "none", "confidence": "some"}
    halved = sum(1 / len(text.split()) for text in before) / len(before) / 2
    assert found.measures[3].value == pytest.approx(halved) and 0.05 < halved < 0.1


def test_vectors_show_another_meaning(texts: Callable[..., list[str]]) -> None:
    draw = np.random.default_rng(0)

    def encode(given: list[str]) -> np.ndarray:
        weather = {"rain", "storm", "wind", "cloud", "sun", "snow", "frost", "heat", "fog", "flood"}
        return draw.normal(size=(len(given), 4)) + [[2.0 * bool(weather & set(text.split()))] for text in given]

    assert levels(report(texts(1), texts(2), encode=encode))["meaning"] == "none"
    assert levels(report(texts(1), texts(2, "weather"), encode=encode))["meaning"] == "strong"


def test_a_small_window_says_nothing() -> None:
    with pytest.raises(InputError, match="the recent window has 2 texts"):
        report(["text"] * 40, ["a", " ", "b"])


def test_texts_without_any_word_and_chinese_ones_are_counted() -> None:
    assert report(["!?"] * 40, ["…"] * 40).measures[0].value == 0
    found = report(["银行 下调 利率"] * 40, ["球队 赢得 比赛"] * 40)
    assert found.measures[0].value > 0.9 and found.measures[0].level == "strong"


def test_the_command_compares_two_files(
    texts: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from core.cli import main

    for name, found in (("a", texts(1)), ("b", texts(2, "weather"))):
        lines = [json.dumps({"text": text}) for text in [*found, " "]]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert read_texts(tmp_path / "a.jsonl") == texts(1)
    command = ["flywheel", "drift", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    assert main([*command, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert main(command) == 0
    for line, measure in zip(capfd.readouterr().out.splitlines()[1:], told["measures"], strict=True):
        # Without chance and p a level could not be told from its value.
        assert f"by chance {measure['chance']:.4f}  p {measure['p']:.3f}  {measure['level']}" in line


@given(COUNTS, COUNTS)
def test_divergences_are_symmetrical_and_zero_for_equals(a: np.ndarray, b: np.ndarray) -> None:
    for divergence in (psi, jensen_shannon):
        assert divergence(a, a) == pytest.approx(0, abs=1e-12)
        assert divergence(a, b) == pytest.approx(float(divergence(b, a)), abs=1e-12)
        assert divergence(a, b) >= 0
    assert jensen_shannon(a, b) <= 1


@given(st.integers(2, 8), st.integers(2, 8), st.integers(0, 100))
def test_mmd_is_the_mean_over_pairs(n: int, m: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(n + m, 3))
    kernel = points @ points.T
    late = np.arange(n + m) >= n
    x, y = kernel[:n, :n], kernel[n:, n:]
    within = (x.sum() - np.trace(x)) / (n * (n - 1)) + (y.sum() - np.trace(y)) / (m * (m - 1))
    assert mmd(kernel, late[None])[0] == pytest.approx(within - 2 * kernel[:n, n:].mean())


def test_what_chance_alone_makes_is_called_drift_rarely() -> None:
    draw = np.random.default_rng(1)
    words = [f"w{i}" for i in range(50)]

    def window() -> list[str]:
        return [" ".join(draw.choice(words, size=draw.integers(3, 12))) for _ in range(40)]

    assert sum(report(window(), window(), seed=i, resamples=200).level != "none" for i in range(30)) <= 2
