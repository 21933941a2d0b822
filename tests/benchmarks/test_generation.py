"""The generation study: what is asked was never tuned on, the bot's check judges, and words follow figures."""

import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import generation, store
from benchmarks.generation import CHECKED, QUOTED, TUNED, UNTUNED, Size, Study, compared, judged
from benchmarks.generation_data import WAYS, Row, prompt_of, questions
from benchmarks.table_generation import generation_table
from core.errors import InputError

ALONE, SHOWN = WAYS
ROW = Row("When is it open?", "It opens at 9 am.", "It opens at 9 am. It never closes.", "It opens at 9 am.", True, 0.1)


class Words:
    """Texts are near when they share words."""

    fingerprint = "words"

    def encode(self, texts: Sequence[str], passages: bool = False) -> np.ndarray:
        """float32 [n, 64]."""
        found = np.full((len(texts), 64), 1e-3, np.float32)
        for row, text in zip(found, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % 64] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def faq(tmp_path: Path) -> Path:
    things = "bank loan price profit share market debt bond coin rate goal team match score coach race".split()  # noqa: SIM905
    rows = [f"what is the {a} of {b},the {a} is {n} of {b}" for n, (a, b) in enumerate(zip(things, things[1:]))]  # noqa: B905
    twice = ["WHAT IS the bank of loan,new rain", "old storm,the bank is 0 of loan", "long,x x x x x x x x x x x x x"]
    file = tmp_path / "faq.csv"
    file.write_text("\n".join(["Question,Answer", *rows, *twice]))
    return file


def short(answer: str) -> bool:
    return len(answer) < 25


def test_no_question_or_answer_that_is_asked_is_tuned_on(faq: Path, tmp_path: Path) -> None:
    for asked in range(1, 15):
        train, test = questions(faq, asked, short, tmp_path / "work", Words())
        assert len(test) == asked and train
        for part in (lambda row: row.question.casefold(), lambda row: row.answer.casefold()):
            assert not {part(row) for row in train} & {part(row) for row in test}
        assert all(short(row.answer) for row in (*train, *test))


def test_what_the_bot_finds_is_shown_and_quoted(faq: Path, tmp_path: Path) -> None:
    train, test = questions(faq, 4, short, tmp_path / "work", Words())
    assert sum(row.right for row in (*train, *test)) >= 12
    for row in (*train, *test):
        assert row.quote in row.passage and row.right == (row.passage == row.answer)


def test_too_few_rows_and_a_missing_file_are_reasons(faq: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fewer test rows"):
        questions(faq, 40, short, tmp_path, Words())
    study = Study(tmp_path / "out.json", tmp_path / "gone.csv", tmp_path, str(tmp_path), encoder=Words())
    with pytest.raises(InputError, match=r"gone.csv is missing"):
        questions(study.file, 1, short, tmp_path, Words())


def test_the_passage_is_shown_as_the_bots_rewriter_shows_it() -> None:
    assert prompt_of(ALONE, ROW) == ROW.question
    from verticals.support.rewrite import Rewriter

    sent: list[str] = []
    Rewriter(lambda system, prompt: sent.append(system) or sent.append(prompt) or "").rewrite(  # type: ignore[func-returns-value]
        ROW.question, ROW.passage
    )
    assert prompt_of(SHOWN, ROW) == "\n\n".join(sent) and ROW.passage in sent[1]


def test_a_reply_is_held_against_what_was_shown_and_no_text_is_kept() -> None:
    rows = [ROW, ROW, replace(ROW, answer="It is shut.", right=False), ROW]
    replies = ["It opens at 9 am.", "It opens at 8 am.", "It never closes.", ""]
    found = judged(SHOWN, rows, replies, [0.1, 0.2, 0.3, 0.4])
    assert found["values"]["accepted"] == [1, 0, 1, 0] and found["values"]["verbatim"] == [1, 0, 1, 0]
    assert found["values"]["chrf"][0] == 1.0 and found["values"]["rouge_l"][1] == pytest.approx(0.8)
    assert found["ms"] == pytest.approx(250) and found["passage_right"] == 0.75
    assert found["metrics"]["accepted"]["value"] == 0.5 and found["metrics"]["accepted"]["low"] < 0.2
    assert judged(ALONE, rows, replies, [0.1] * 4)["values"]["accepted"] == [1, 0, 0, 0]
    assert "opens" not in json.dumps(found) and "closes" not in json.dumps(found)


def _values(chrf: list[float], accepted: list[float]) -> dict[str, list[float]]:
    return {"chrf": chrf, "rouge_l": chrf, "accepted": accepted}


def test_a_refused_reply_gives_way_to_the_quote() -> None:
    parts = {
        f"{SHOWN}/{QUOTED}": _values([0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1]),
        f"{SHOWN}/{TUNED}": _values([0.9, 0.1, 0.7, 0.1], [1, 0, 1, 0]),
        f"{SHOWN}/{UNTUNED}": _values([0.1, 0.1], [0, 0]),  # of another size: not the same questions
    }
    found = compared(parts)
    assert found["systems"][f"{SHOWN}/{CHECKED}"]["chrf"]["value"] == pytest.approx(0.65)
    gap = found["differences"][f"{SHOWN}/{CHECKED} - {QUOTED}"]["chrf"]["difference"]
    assert gap["value"] == pytest.approx(0.15) and gap["low"] >= 0
    assert found["differences"][f"{SHOWN}/{TUNED} - {QUOTED}"]["accepted"]["difference"]["value"] == -0.5
    assert f"{SHOWN}/{TUNED} - {UNTUNED}" not in found["differences"]


@pytest.fixture
def long_llama(tiny_llama: Path, tmp_path: Path) -> Path:
    """The tiny model with room for the rewriter's prompt, which its tokenizer spells letter by letter."""
    folder = tmp_path / "llama"
    shutil.copytree(tiny_llama, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return folder


def test_every_system_is_measured_once(
    faq: Path, tmp_path: Path, long_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = Size(train_rows=6, test_rows=2, max_length=1024, tokens=3, answer_tokens=25)
    study = Study(tmp_path / "generation.json", faq, tmp_path / "work", str(long_llama), size, Words())
    study.run()
    parts = store.read(study.out)["parts"]
    assert set(parts) == {f"{SHOWN}/{QUOTED}", *(f"{w}/{s}" for w in WAYS for s in (UNTUNED, TUNED)), "compared"}
    assert parts[f"{SHOWN}/{TUNED}"]["rows"] == {"train": 5, "validation": 1, "test": 2}
    assert len(parts["compared"]["differences"]) == 4
    assert "loan" not in study.out.read_text()
    text = generation_table(tmp_path)
    assert "| closed book: tuned | 0." in text and "make bench-generation" in text
    assert "Good enough for" in text.splitlines()[-1]

    def again(*_: Any) -> dict[str, Any]:
        raise AssertionError("measured twice")

    for name in ("_quoted", "_untuned", "_tuned", "compared"):
        monkeypatch.setattr(generation, name, again)
    study.run()
    assert store.read(study.out)["parts"] == parts
    with pytest.raises(AssertionError, match="measured twice"):
        replace(study, fresh=True).run()


def _figures(folder: Path, alone: float, shown: float, gain: Callable[[int], float]) -> str:
    """The table of 100 made-up replies: shares accepted, and what a taken reply gains on its quote."""
    file, n = folder / "generation.json", 100
    shares = {(ALONE, UNTUNED): 0.0, (ALONE, TUNED): alone, (SHOWN, QUOTED): 1.0, (SHOWN, UNTUNED): 0.2}
    known = {}
    for (way, system), share in {**shares, (SHOWN, TUNED): shown}.items():
        tuned = system == TUNED
        values = _values([0.5 + gain(i) * tuned for i in range(n)], [float(i < share * n) for i in range(n)])
        known[f"{way}/{system}"] = values
        metrics = {"accepted": {"value": share, "low": share - 0.03, "high": share + 0.03}}
        metrics |= dict.fromkeys(("chrf", "rouge_l", "verbatim"), {"value": 0.5, "low": 0.4, "high": 0.6})
        part = {"values": values, "metrics": metrics, "rows": {"train": 9, "test": n}, "passage_right": 0.6}
        part |= {"ms": 1500.0 if tuned else 20.0, "tuning": {"epochs": 1.0, "minutes": 3.0}}
        store.part(file, f"{way}/{system}", "k", lambda part=part: part, fresh=True)
    store.part(file, "compared", "k", lambda: compared(known), fresh=True)
    return generation_table(folder)


def test_what_follows_is_worked_out_from_the_figures(tmp_path: Path) -> None:
    last = _figures(tmp_path, 0.02, 0.7, lambda i: 0.0).splitlines()[-1]
    assert "Alone, 2% [-1%, 5%] of the tuned model's replies are accepted, fewer than the 95% needed" in last
    assert "not shown to come nearer" in last and "for 1,480 ms more a reply" in last
    assert last.endswith("**Good enough for: nothing.** Quoting, which needs no such model, is not shown to be worse.")
    last = _figures(tmp_path, 0.97, 0.99, lambda i: 0.1).splitlines()[-1]
    assert "not shown to be the 95% needed" in last and "as many as are needed" in last
    assert "comes nearer to the true answers than the quotes alone (chrF +9.9" in last
    assert last.endswith(
        "**Good enough for: replies with the passage, unchecked; rephrasing quotes behind the check.**"
    )
    text = _figures(tmp_path, 0.5, 0.5, lambda i: -0.2)
    assert "leads away from the true answers" in text.splitlines()[-1]
    assert "-20.0 [-20.0, -20.0] points |" in text and "| 1,500 |" in text


def test_without_figures_nothing_follows(tmp_path: Path) -> None:
    store.skip(tmp_path / "generation.json", f"{SHOWN}/{QUOTED}", "BankFAQs.csv is missing; fetch it.")
    assert generation_table(tmp_path) == "generation: skipped: BankFAQs.csv is missing; fetch it."
    store.part(tmp_path / "generation.json", f"{SHOWN}/{QUOTED}", "k", lambda: judged(SHOWN, [ROW], [ROW.quote], [0.1]))
    text = generation_table(tmp_path)
    assert text.endswith("What follows: not measured yet.") and "| closed book: tuned | not measured yet |" in text
