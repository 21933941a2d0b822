"""The finance sample that ships: counts, labels, planted incidents and decoys, and files that the product can read."""

import csv
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from verticals.finance.alerts.rules import load_rules
from verticals.finance.sample_pages import OUTLETS
from verticals.finance.sources import load_sources

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data" / "finance"
REFERENCE = datetime(2026, 3, 3, 14, 0, tzinfo=UTC)  # a Tuesday, as the README says
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [json.loads(line) for line in (FOLDER / "articles.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def stories(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["story"]].append(row)
    return dict(found)


@pytest.fixture(scope="module")
def companies() -> dict[str, tuple[str, ...]]:
    with (FOLDER / "companies.csv").open(encoding="utf-8", newline="") as handle:
        return {r["code"]: (r["name"], *r["aliases"].split("|")) for r in csv.DictReader(handle)}


def _shared_wording(one: Row, other: Row) -> float:
    """The share of three-word runs (three characters in Chinese) of the shorter text that the other has too."""

    def runs(row: Row) -> set[tuple[str, ...]]:
        units = list(row["body"]) if row["language"] == "zh" else re.findall(r"\w+", row["body"].lower())
        return {tuple(units[i : i + 3]) for i in range(len(units) - 2)}

    a, b = runs(one), runs(other)
    return len(a & b) / min(len(a), len(b))


def test_the_sample_is_as_large_and_as_long_as_the_readme_says(rows: list[Row], stories: dict[str, list[Row]]) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(rows) >= 400
    assert max(row["minutes_ago"] for row in rows) >= 8 * 7 * 24 * 60
    assert min(row["minutes_ago"] for row in rows) >= 0
    assert f"{len(rows)} articles of {len(OUTLETS)} outlets" in readme
    assert f"{len(stories)} stories" in readme
    weeks = Counter(row["minutes_ago"] // (7 * 24 * 60) for row in rows)
    assert all(weeks[week] >= 30 for week in range(8))


def test_every_row_is_complete_and_says_that_it_is_synthetic(rows: list[Row]) -> None:
    with (ROOT / "data/samples/finance-topics.csv").open(encoding="utf-8", newline="") as handle:
        topics = {row["label"] for row in csv.DictReader(handle)}
    fields = ["id", "synthetic", "source", "minutes_ago", "title", "summary", "body", "language", "companies"]
    for row in rows:
        assert list(row) == [*fields, "topic", "sentiment", "story"]
        assert row["synthetic"] is True
        assert row["topic"] in topics
        assert row["sentiment"] in ("negative", "neutral", "positive")
        assert row["source"] in OUTLETS
        assert row["language"] == ("zh" if re.search(r"[\u4e00-\u9fff]", row["title"]) else "en")
        assert row["body"].startswith(row["summary"]) and row["summary"] != row["body"]
        length = len(row["body"]) if row["language"] == "zh" else len(row["body"].split())
        assert 40 <= length <= 120, row["id"]
    assert len({row["id"] for row in rows}) == len({row["title"] for row in rows}) == len(rows)
    assert {row["topic"] for row in rows} == topics and len(topics) == 20
    assert sum(row["language"] == "zh" for row in rows) >= 15
    assert min(Counter(row["sentiment"] for row in rows).values()) >= 100


def test_texts_name_no_weekday_since_they_are_dated_anew_each_time(rows: list[Row]) -> None:
    weekday = re.compile(r"\b(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|星期|周[一二三四五六日]")
    assert not [row["id"] for row in rows if weekday.search(row["title"] + row["body"])]


def test_tagged_companies_are_known_and_named(rows: list[Row], companies: dict[str, tuple[str, ...]]) -> None:
    assert len(companies) >= 8
    for row in rows:
        text = row["title"] + " " + row["body"]
        for code in row["companies"]:
            assert any(alias in text for alias in companies[code]), (row["id"], code)
    used = Counter(code for row in rows for code in row["companies"])
    assert set(used) == set(companies) and min(used.values()) >= 10
    aliases = [alias for names in companies.values() for alias in names]
    assert len(aliases) == len(set(aliases))


def test_stories_are_carried_by_several_outlets_in_their_own_words(stories: dict[str, list[Row]]) -> None:
    shared = {name: rows for name, rows in stories.items() if 2 <= len(rows) <= 4}
    assert len(shared) >= 40
    for name, rows in shared.items():
        assert len({row["source"] for row in rows}) == len(rows), name
        assert len({(row["topic"], row["sentiment"]) for row in rows}) == 1
        assert max(r["minutes_ago"] for r in rows) - min(r["minutes_ago"] for r in rows) <= 24 * 60
        for i, one in enumerate(rows):
            for other in rows[i + 1 :]:
                assert one["language"] != other["language"] or _shared_wording(one, other) < 0.5, name


def test_different_stories_are_not_one_text_with_slots(rows: list[Row]) -> None:
    english = [row for row in rows if row["language"] == "en"]
    openings = Counter(tuple(row["body"].split()[:4]) for row in english)
    assert openings.most_common(1)[0][1] <= 4
    for i, one in enumerate(english):
        for other in english[i + 1 : i + 40]:
            assert one["story"] == other["story"] or _shared_wording(one, other) < 0.4, (one["id"], other["id"])


@pytest.mark.parametrize(
    ("prefix", "code", "hours", "least"),
    [("volterrin-recall-", "VLTMOB", 36, 18), ("merrowdale-liquidity-", "MRWDLB", 24, 15)],
)
def test_incidents_are_bursts_of_distinct_negative_stories(
    stories: dict[str, list[Row]], rows: list[Row], prefix: str, code: str, hours: int, least: int
) -> None:
    burst = {name: found for name, found in stories.items() if name.startswith(prefix)}
    negative = [name for name, found in burst.items() if all(row["sentiment"] == "negative" for row in found)]
    times = [row["minutes_ago"] for found in burst.values() for row in found]
    assert len(negative) >= least
    assert max(times) - min(times) <= hours * 60
    assert min(times) <= 36 * 60
    ordinary = [r for r in rows if code in r["companies"] and r["minutes_ago"] > max(times)]
    days = Counter(row["minutes_ago"] // 1440 for row in ordinary if row["sentiment"] == "negative")
    assert max(days.values(), default=0) <= 2


def test_the_recall_begins_slowly_and_the_scare_spills_over(rows: list[Row]) -> None:
    early = [r for r in rows if "VLTMOB" in r["companies"] and 36 * 60 < r["minutes_ago"] <= 34 * 1440]
    assert 6 <= len([r for r in early if r["sentiment"] == "negative" and r["topic"] != "Earnings"]) <= 12
    scare = [r for r in rows if r["story"].startswith("merrowdale-liquidity-") and r["sentiment"] == "negative"]
    others = Counter(code for row in scare for code in row["companies"])
    assert others["SBLCST"] >= 3 and others["STNQAY"] >= 1


def test_the_decoys_are_there(rows: list[Row], stories: dict[str, list[Row]]) -> None:
    results = [r for r in rows if 620 * 60 < r["minutes_ago"] < 636 * 60]
    quillon = {r["story"] for r in results if "QLNSEM" in r["companies"]}
    assert len(quillon) == len({r["story"] for r in results}) == 12
    assert Counter(r["sentiment"] for r in results)["negative"] == 0
    copied = [found for found in stories.values() if len(found) > 4]
    assert len(copied) == 1
    fine = [row for row in copied[0] if row["language"] == "en"]
    assert {row["companies"][0] for row in copied[0]} == {"NWKAIR"}
    assert all(_shared_wording(fine[0], row) > 0.45 for row in fine[1:])
    assert {row["sentiment"] for row in copied[0]} == {"negative"}


def test_tapeside_is_silent_on_two_working_days_of_week_five(rows: list[Row]) -> None:
    days = {(REFERENCE - timedelta(minutes=row["minutes_ago"])).date() for row in rows if row["source"] == "tapeside"}
    working = [(REFERENCE - timedelta(days=ago)).date() for ago in range(3, 58)]
    silent = [day for day in working if day.weekday() < 5 and day not in days]
    assert silent == [(REFERENCE - timedelta(days=ago)).date() for ago in (32, 33)]


def test_sources_are_sample_ones_enabled_and_public_ones_disabled() -> None:
    sources = load_sources(FOLDER / "sources.toml", port=8099)
    sample = [source for source in sources if source.enabled]
    public = [source for source in sources if not source.enabled]
    assert {source.url.split("/")[4] for source in sample} == set(OUTLETS)
    assert {source.kind for source in sample} == {"rss", "atom", "json_feed", "web", "sitemap", "json_api"}
    assert all(source.url.startswith("http://127.0.0.1:8099/") and "synthetic" in source.name for source in sample)
    assert len(public) >= 25
    assert all(source.url.startswith("https://") and source.tags and source.language for source in public)
    assert len({source.url for source in sources}) == len(sources)


def test_rules_are_valid_and_cover_the_scopes_and_measures() -> None:
    book = load_rules(FOLDER / "rules.toml")
    assert {rule.scope for rule in book.rules} == {"topic", "company", "source", "all"}
    assert {rule.measure for rule in book.rules} == {
        "volume",
        "negative_volume",
        "negative_share",
        "mean_score",
        "outage",
    }
    assert all(rule.title for rule in book.rules)
