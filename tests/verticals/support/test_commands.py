import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from core.errors import InputError
from tests.verticals.support.conftest import ARTICLES, HashEncoder, write_articles
from verticals.support import opening
from verticals.support.bot import Bot
from verticals.support.commands import support
from verticals.support.retrieval import QueryEncoder


def run(*words: str, text: str | None = None) -> Result:
    return CliRunner().invoke(support, list(words), input=text, catch_exceptions=True)


@pytest.fixture(autouse=True)
def hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "open_encoder", lambda settings: QueryEncoder(HashEncoder()))


@pytest.fixture
def served(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> Bot:
    monkeypatch.setattr(opening, "open_default", lambda: bot)
    return bot


def printed(capfd: pytest.CaptureFixture[str]) -> object:
    return json.loads(capfd.readouterr().out)


def test_ingest_list_diff_and_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_articles(tmp_path / "articles", ARTICLES)
    with capsys.disabled():
        first = run("ingest", str(folder), "--json")
    assert first.exit_code == 0, first.exception
    (folder / "pin.md").unlink()
    assert run("ingest", str(folder)).exit_code == 0
    assert run("index", "list").exit_code == 0
    assert run("index", "diff", "1", "--json").exit_code == 0
    assert run("index", "rollback").exit_code == 0
    from core.search.versions import Versions
    from verticals.support.settings import SupportSettings

    assert Versions(SupportSettings().index).current() == 1


def test_what_is_not_there_is_wrong_use() -> None:
    assert isinstance(run("ingest", "/nowhere/at/all").exception, InputError)
    assert isinstance(run("evaluate", "--knowledge", "faq.csv").exception, InputError)
    assert isinstance(run("index", "rollback").exception, InputError)
    assert run("dial", "--precision", "1.5").exit_code == 2


def test_ask_answers_and_slots_are_checked(served: Bot) -> None:
    assert run("ask", "my card has not arrived, the delivery is late", "--json").exit_code == 0
    assert isinstance(run("ask", "x", "--slot", "country").exception, InputError)
    assert isinstance(run("ask", "  ").exception, InputError)


def test_chat_remembers_what_was_said(served: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = served.reply

    def reply(text: str, history: list[object], groups: tuple[str, ...]) -> object:
        seen.append(len(history))
        return original(text, history, groups)  # type: ignore[arg-type]

    monkeypatch.setattr(served, "reply", reply)
    done = run("chat", text="my card has not arrived, the delivery is late\nand to Spain?\n\n")
    assert done.exit_code == 0 and seen == [0, 2]


def test_help_names_every_command() -> None:
    done = run("--help")
    for name in ("ask", "chat", "dial", "evaluate", "index", "ingest", "mine"):
        assert f"\n  {name} " in done.output
