import csv
import json
from pathlib import Path

import pytest

from core.settings import PROJECT_ROOT
from core.tuning.recipe import Recipe
from tests.verticals.support.conftest import HashEncoder
from verticals.support.cases import Cases
from verticals.support.dialogues import mining
from verticals.support.dialogues.clusters import ClusterConfig, cluster
from verticals.support.dialogues.logs import read_logs
from verticals.support.dialogues.pairs import Pair, learn
from verticals.support.dialogues.training import write_training
from verticals.support.review import Review
from verticals.support.settings import SupportSettings

SHIPPED = PROJECT_ROOT / "data" / "support" / "dialogues.jsonl"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows = []
    for number, (question, answer) in enumerate(
        [
            *((f"please open a joint account {word}", None) for word in ("today", "tomorrow", "soon", "later", "now")),
            *((f"is travel insurance included {word}", None) for word in ("abroad", "here", "anywhere")),
            ("how is the weather on mars", None),
            ("where is my late card", "It arrives within five working days."),
            ("change my pin code", "Open Cards and tap Change PIN."),
        ]
    ):
        turns = [{"role": "customer", "text": question}]
        turns += [{"role": "agent", "text": answer, "accepted": True}] if answer else []
        outcome = "resolved" if answer else "handed_over"
        rows.append({"id": str(number), "turns": turns, "outcome": outcome, "intent": "x" if answer else None})
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_groups_are_named_by_a_question_of_theirs(log: Path) -> None:
    found = mining.mine(log, encoder=HashEncoder(), answered=lambda question: False)
    assert [(group["size"], "joint" in group["name"], "insurance" in group["name"]) for group in found["groups"]] == [
        (5, True, False),
        (3, False, True),
    ]
    assert all(group["name"] in group["questions"] for group in found["groups"])
    assert "joint" in found["groups"][0]["label"]
    queue = Review.open()
    assert [(row["kind"], row["size"]) for row in queue.list()] == [("faq", 5), ("intent", 5), ("faq", 3)] or [
        (row["kind"], row["size"]) for row in queue.list()
    ] == [("intent", 5), ("faq", 5), ("faq", 3)]
    assert found["cases"] == 2 and len(Cases.open().find(HashEncoder().encode(["late card"])[0])) == 2


def test_the_shipped_log_is_mined_only_where_none_was(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(path: Path, settings: SupportSettings) -> dict[str, object]:
        return run(path, encoder=HashEncoder(), answered=lambda question: False)

    run, said = mining.mine, list[str]()
    monkeypatch.setattr(mining, "mine", mine)
    monkeypatch.setenv("HEADWATER_SUPPORT_DIALOGUES", "")
    mining.mine_shipped(SupportSettings(), said.append)
    assert not said and not Cases.open().any()
    settings = SupportSettings(dialogues=log)
    mining.mine_shipped(settings, said.append)
    assert said == [f"support: learning from {log.name}", "support: 2 resolved cases, 3 proposals to review"]
    mining.mine_shipped(settings, said.append)
    assert len(said) == 2


def test_mining_again_proposes_nothing_twice(log: Path) -> None:
    mining.mine(log, encoder=HashEncoder(), answered=lambda question: False)
    again = mining.mine(log, encoder=HashEncoder(), answered=lambda question: False)
    assert again["queued"] == 0 and len(Review.open().list()) == 3 and again["cases"] == 2


def test_what_the_knowledge_base_answers_by_now_is_left_out(log: Path) -> None:
    found = mining.mine(log, encoder=HashEncoder(), answered=lambda question: "insurance" in question)
    assert found["known_by_now"] == 1 and [group["size"] for group in found["groups"]] == [5]


def test_a_dry_run_leaves_the_database_alone(log: Path) -> None:
    mining.mine(log, encoder=HashEncoder(), answered=lambda question: False, propose=False)
    assert Review.open().list() == []


def test_the_command_prints_one_document(
    log: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from verticals.support.mine_command import mine

    monkeypatch.setattr("verticals.support.opening.open_encoder", lambda settings: HashEncoder())
    mine([str(log), "--json"], standalone_mode=False)
    assert json.loads(capfd.readouterr().out)["dialogues"] == 11
    mine([str(log)], standalone_mode=False)
    assert "2 questions with an answer" in capfd.readouterr().out


def test_few_or_empty_questions_make_no_group() -> None:
    assert cluster([], HashEncoder()) == []
    assert cluster(["one question"] * 5, HashEncoder()) == []  # one customer repeating themselves is no group
    assert cluster(["the and of"] * 2 + ["of the"] * 2, HashEncoder(), ClusterConfig(smallest=4)) == []


def test_training_files_are_read_by_the_cores_recipes(tmp_path: Path) -> None:
    pairs = [
        Pair(f"question {n}, with a comma", f"answer {n // 2}", 1.0, f"intent {n % 3}", (str(n),)) for n in range(30)
    ]
    files = write_training(pairs, tmp_path / "training", [("corrected question", "corrected answer")])
    for path in files.recipes:
        recipe = Recipe.load(path)
        assert recipe.name.startswith("support-")
    rows = {
        name: list(csv.DictReader((tmp_path / "training" / f"{name}.csv").open()))
        for name in ("matching", "matching-test")
    }
    answers = {name: {row["positive"] for row in found} for name, found in rows.items()}
    assert not answers["matching"] & answers["matching-test"] and answers["matching-test"]
    assert "corrected answer" in answers["matching"]
    tested = list(csv.DictReader((tmp_path / "training" / "intents-test.csv").open()))
    assert {row["category"] for row in tested} == {"intent 0", "intent 1", "intent 2"}


def test_the_shipped_log_is_what_its_page_says() -> None:
    lines = [json.loads(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]
    assert len(lines) >= 300 and all(line["synthetic"] is True for line in lines)
    labels = json.loads((PROJECT_ROOT / "data/adapters/banking-intents/labels.json").read_text(encoding="utf-8"))
    assert {line["intent"] for line in lines} - {None} == set(labels)
    opening = [line["turns"][0]["text"].casefold() for line in lines]
    assert len(set(opening)) == len(opening)
    found = learn(read_logs(SHIPPED))
    assert len(found.pairs) > 180 and len(found.unanswered) > 90
    assert {"email", "phone", "card", "iban", "name"} <= set(found.redacted)


def test_accepted_answers_state_only_what_the_knowledge_says() -> None:
    import re

    number = re.compile(r"[£€$]?\d+(?:[.,:]\d+)*%?")
    folder = PROJECT_ROOT / "data" / "support" / "knowledge"
    known = {found for path in folder.glob("*.md") for found in number.findall(path.read_text(encoding="utf-8"))}
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        turns = json.loads(line)["turns"]
        asked = {found for turn in turns if turn["role"] == "customer" for found in number.findall(turn["text"])}
        for turn in turns:
            if turn.get("accepted"):
                assert set(number.findall(turn["text"])) <= known | asked, turn["text"]
