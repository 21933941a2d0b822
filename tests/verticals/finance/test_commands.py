import json
from typing import Any

import pytest
from sqlalchemy import Engine

from core.cli import main


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = main(["finance", *arguments, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch, sample_site: Any, finance_engine: Engine) -> None:
    monkeypatch.setenv("HEADWATER_FINANCE_SAMPLE_PORT", str(sample_site.port))


def test_poll_scrapes_and_sources_tells_how_it_went(capfd: pytest.CaptureFixture[str]) -> None:
    (visit,) = run(capfd, "poll", "sample-tapeside")
    assert (visit["outcome"], visit["new"]) == ("ok", visit["items"]) and visit["new"] > 0
    (again,) = run(capfd, "poll", "sample-tapeside")
    assert (again["outcome"], again["new"]) == ("unchanged", 0)
    health = {one["id"]: (one["health"], one["articles"]) for one in run(capfd, "sources")}
    assert health["sample-tapeside"] == ("ok", visit["new"]) and health["fed-press"] == ("disabled", 0)


def test_a_mistake_is_one_sentence_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (("poll", "nope"), "there is no source 'nope'"),
        (("poll", "fed-press"), "is disabled"),
        (("alerts", "ack", "zz"), "is not an alert's id"),
        (("alerts", "silence", "everything"), "is no condition"),
        (("alerts", "snooze", "0123456789ab", "--for", "soon"), "is not a duration"),
        (("trends", "--out", "rows.txt"), "choose one of these endings"),
    ):
        assert main(["finance", *arguments]) == 2
        out, err = capfd.readouterr()
        assert said in err and not out and "Traceback" not in err


def test_rules_are_shown_and_changed(capfd: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    shown = run(capfd, "rules", "show")
    assert shown["version"] is None
    file = tmp_path / "rules.toml"
    file.write_text(shown["text"].replace("minimum_stories = 6", "minimum_stories = 7"), encoding="utf-8")
    assert run(capfd, "rules", "load", str(file), "--comment", "calmer") == {"version": 1}
    now = run(capfd, "rules", "show")
    assert (now["version"], now["comment"]) == (1, "calmer") and "minimum_stories = 7" in now["text"]


@pytest.mark.parametrize("finance_engine", ["labelled"], indirect=True)
def test_trends_of_one_company(capfd: pytest.CaptureFixture[str], finance_engine: Engine, tmp_path: Any) -> None:
    out = tmp_path / "rows.csv"
    rows = run(
        capfd,
        "trends",
        "--scope",
        "company",
        "--subject",
        "VLTMOB",
        "--days",
        "3650",
        "--step",
        "week",
        "--out",
        str(out),
    )
    assert {row["subject"] for row in rows} == {"VLTMOB"} and sum(row["negatives"] for row in rows) >= 23
    assert len(out.read_text(encoding="utf-8-sig").splitlines()) == len(rows) + 1


def test_silences_are_made_and_ended(capfd: pytest.CaptureFixture[str]) -> None:
    (made,) = run(capfd, "alerts", "silence", "company=VLTMOB", "topic~Energy.*", "--for", "2h", "--as", "mei")
    assert made["author"] == "mei" and [m["regex"] for m in made["matchers"]] == [False, True]
    assert run(capfd, "alerts", "silence", "--expire", str(made["id"])) == []
    assert run(capfd, "alerts") == []
