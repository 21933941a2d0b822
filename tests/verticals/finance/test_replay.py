"""A replay of a made-up archive: alerts at the right time, from the past only, against marked events."""

import random
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError
from verticals.finance.alerts.rules import RuleBook
from verticals.finance.labels import Label
from verticals.finance.replay import replay

START = datetime(2023, 1, 2, tzinfo=UTC)
CRASH = START + timedelta(days=60)
BOOK = RuleBook.model_validate(
    {
        "rules": [
            {
                "id": "bad-news",
                "scope": "all",
                "measure": "negative_volume",
                "sensitivity": 0.999,
                "minimum_stories": 5,
                "window": "1d",
                "severity": "critical",
            },
            {"id": "outage", "scope": "source", "measure": "outage"},
        ]
    }
)


class Words:
    """Negative where a headline says so; its vector is its own."""

    def label(self, articles: Sequence[Any]) -> list[Label]:
        found = []
        for article in articles:
            low = 0.9 if "slumps" in article.title else 0.1
            vector = np.random.default_rng(zlib.crc32(article.title.partition(" |")[0].encode())).normal(size=256)
            chances = {"negative": low, "neutral": 0.95 - low, "positive": 0.05}
            sentiment = max(chances, key=lambda name: chances[name])
            found.append(Label(sentiment, chances, "Markets", 0.9, (), (vector / np.linalg.norm(vector)).astype("f4")))
        return found


def archive(path: Path, days: int = 75, crash: bool = True, hours: bool = False) -> Path:
    rng = random.Random(5)
    rows = []
    for day in range(days):
        when = START + timedelta(days=day)
        names = [f"Company {rng.randrange(10**9)} {'slumps' if rng.random() < 0.2 else 'moves'}" for _ in range(10)]
        if crash and when >= CRASH:
            names += [f"Index {rng.randrange(10**9)} slumps" for _ in range(15)]
        for name in names:
            at = when + timedelta(hours=rng.randrange(24))
            rows.append(f'{at.isoformat() if hours else when.date()},"{name}"')
    rng.shuffle(rows)
    path.write_text("date,headline\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_the_crash_is_raised_on_its_day_and_calm_weeks_are_quiet(tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text(f"time,name\n{CRASH.date()},Crash\n2023-01-20,Nothing\n", encoding="utf-8")
    result = replay(archive(tmp_path / "wire.csv"), BOOK, labeller=Words(), events=events)
    assert [alert["fired"] for alert in result.alerts] == [(CRASH + timedelta(hours=23, minutes=59)).isoformat()]
    found = result.to_dict()
    (alert,) = found["alerts"]
    assert (alert["rule"], alert["topic"], alert["severity"], alert["muted"]) == ("bad-news", "all", "critical", False)
    assert alert["evidence"]
    assert all("slumps" in title for title in alert["evidence"])
    assert found["articles"] == found["stories"] == 75 * 10 + 15 * 15
    assert found["alerts_per_week"] == pytest.approx(1 / (74 / 7), abs=0.02)
    assert [(event["event"], event["lead_hours"]) for event in found["events"]] == [("Nothing", None), ("Crash", -24.0)]


def test_what_comes_later_changes_no_earlier_alert(tmp_path: Path) -> None:
    lines = archive(tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    until = (CRASH + timedelta(days=3)).date().isoformat()
    (tmp_path / "b.csv").write_text("\n".join([lines[0], *(x for x in lines[1:] if x < until)]) + "\n")
    whole = replay(tmp_path / "a.csv", BOOK, labeller=Words())
    part = replay(tmp_path / "b.csv", BOOK, labeller=Words())
    assert [a["fired"] for a in part.alerts] == [a["fired"] for a in whole.alerts if a["fired"] < until]


def test_copies_are_counted_once(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.csv", crash=False)
    day = CRASH.date()
    copies = [f'{day},"Index 77 slumps | outlet {n}"' for n in range(30)]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(copies) + "\n", encoding="utf-8")
    result = replay(path, BOOK, labeller=Words())
    assert result.articles == 75 * 10 + 30
    assert result.stories == 75 * 10 + 1
    assert result.alerts == ()


def test_with_times_the_clock_moves_by_hours(tmp_path: Path) -> None:
    result = replay(archive(tmp_path / "a.csv", hours=True), BOOK, labeller=Words())
    assert result.alerts[0]["fired"] < (CRASH + timedelta(days=1)).isoformat()


def test_an_archive_without_dates_and_bad_events_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("headline\nNo date\n", encoding="utf-8")
    with pytest.raises(InputError, match="date"):
        replay(tmp_path / "a.csv", BOOK, labeller=Words())
    events = tmp_path / "e.csv"
    events.write_text("time,name\nsoon,Crash\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2, column time"):
        replay(tmp_path / "a.csv", BOOK, labeller=Words(), events=events)
