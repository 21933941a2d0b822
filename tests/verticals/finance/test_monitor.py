from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from verticals.finance import detection, labelling, reading, tables, watch
from verticals.finance.alerts import inbox
from verticals.finance.sample_truth import TruthLabeller

Make = Callable[..., Any]
polled = pytest.mark.parametrize("finance_engine", ["polled"], indirect=True)
labelled = pytest.mark.parametrize("finance_engine", ["labelled"], indirect=True)


def counted(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def round_of(monitor: Any) -> Any:
    monitor.poll()
    while monitor.label():
        pass
    found = monitor.detect()
    monitor.deliver()
    return found


def test_from_the_feeds_to_the_receiver(
    make_monitor: Make, finance_engine: Engine, sample_site: SimpleNamespace, webhook: Any, moving: Any
) -> None:
    settings = sample_site.settings.model_copy(update={"webhook": webhook.url, "sample": True})
    monitor = make_monitor(settings=settings)
    round_of(monitor)
    # every article of the 58 days was scraped over HTTP, told as the sample's own stories, and counted
    assert counted(finance_engine, tables.articles) == 433
    assert reading.status(finance_engine, settings)["waiting"] == 0
    assert counted(finance_engine, tables.stories) == 360
    total = reading.trend(finance_engine, moving.now - timedelta(days=60), moving.now, "all", None, "week")
    assert sum(row["stories"] for row in total) == 360
    health = {one.id: one.health for one in watch.listed(finance_engine, settings) if one.enabled}
    assert len(health) == 8 and set(health.values()) == {"ok"}
    # both planted incidents were raised, with headlines as evidence; the decoys were not
    raised = {(a["rule"], a["subject"]) for a in inbox.listed(finance_engine, everything=True) if a["fired"]}
    assert {("company-negative-surge", "VLTMOB"), ("company-negative-surge", "MRWDLB")} <= raised
    assert not {subject for rule, subject in raised if "negative" in rule} & {"QLNSEM", "NWKAIR"}
    bank = next(
        a for a in inbox.listed(finance_engine) if (a["rule"], a["subject"]) == ("company-negative-surge", "MRWDLB")
    )
    assert any("Merrowdale" in title for title in bank["evidence"]) and bank["reason"]
    # group_wait has to pass first; then the receiver hears of each once
    moving.forward(minutes=2)
    monitor.deliver()
    firing = [(rule, subject) for rule, subject, kind in webhook.alerts if kind == "firing"]
    assert ("company-negative-surge", "MRWDLB") in firing and len(firing) == len(set(firing))
    # another round, in another process: nothing is fetched, raised or sent twice
    before = len(webhook.messages)
    again = make_monitor(settings=settings)
    round_of(again)
    assert counted(finance_engine, tables.articles) == 433
    assert len(webhook.messages) == before
    messages = inbox.shown(finance_engine, bank["id"])["messages"]
    assert [(m["kind"], m["delivered"] is not None) for m in messages] == [("firing", True)] * 2  # both receivers


@polled
def test_a_kill_after_every_stage_loses_nothing(make_monitor: Make, finance_engine: Engine, moving: Any) -> None:
    """Each stage is run by a process of its own, which forgets everything afterwards."""
    labeller = TruthLabeller()
    while labelling.label_some(finance_engine, labeller, moving.now, 50):
        pass  # killed before any story was told
    assert counted(finance_engine, tables.stories) == 0
    make_monitor().label()
    assert counted(finance_engine, tables.stories) == 360
    first = make_monitor().detect()
    assert first.times > 0
    second = make_monitor().detect()
    assert second.times == 0 and not second.changed


@polled
def test_the_judgement_waits_for_what_is_on_its_way(make_monitor: Make, finance_engine: Engine, moving: Any) -> None:
    monitor = make_monitor()
    assert monitor.detect().times == 0  # articles wait for labels
    moving.forward(minutes=45)  # …but not for ever
    assert monitor.detect().times > 0


@polled
def test_a_text_that_cannot_be_labelled_stops_nobody(make_monitor: Make, finance_engine: Engine, moving: Any) -> None:
    class Stumbling(TruthLabeller):
        def label(self, articles: Any) -> Any:
            if any("Merrowdale halved" in article.title for article in articles):
                raise ValueError("cannot read this")
            return super().label(articles)

    monitor = make_monitor(make_labeller=lambda settings: Stumbling())
    for _ in range(5):
        monitor.label()
    with finance_engine.connect() as connection:
        bad = connection.execute(select(tables.articles).where(tables.articles.c.stage == tables.STORED)).all()
    assert [row.attempts for row in bad] == [labelling.MAX_ATTEMPTS]
    assert "cannot read this" in bad[0].problem
    assert reading.status(finance_engine, monitor.settings)["waiting"] == 0


@labelled
def test_a_new_model_goes_over_the_recent_articles(make_monitor: Make, finance_engine: Engine, moving: Any) -> None:
    class Gloomy(TruthLabeller):
        version = "gloomy:2"

        def label(self, articles: Any) -> Any:
            from dataclasses import replace

            dark = {"negative": 1.0, "neutral": 0.0, "positive": 0.0}
            return [replace(t, sentiment="negative", probabilities=dark) for t in super().label(articles)]

    other = make_monitor(make_labeller=lambda settings: Gloomy())
    other._model()
    while other.label():
        pass
    rows = reading.trend(finance_engine, moving.now - timedelta(days=60), moving.now, "all", None, "week")
    assert sum(row["negatives"] for row in rows) == sum(row["stories"] for row in rows) == 360
    assert counted(finance_engine, tables.labels) == 2 * 433  # what the old model said is kept


def test_times_to_judge_are_full_hours_and_the_latest_step(moving: Any) -> None:
    now = moving.now + timedelta(minutes=34)
    times = detection.due_times(now - timedelta(hours=3), now)
    assert [at.strftime("%H:%M") for at in times] == ["12:00", "13:00", "14:00", "14:30"]
    assert detection.due_times(times[-1], now) == []


@labelled
def test_the_clock_goes_back_and_forward(make_monitor: Make, finance_engine: Engine, moving: Any) -> None:
    monitor = make_monitor()
    round_of(monitor)
    open_before = {a["id"] for a in inbox.listed(finance_engine)}
    assert open_before
    # a jump of a year ahead: sources are visited, nothing is deleted, alerts end as news stops
    moving.forward(days=400)
    round_of(monitor)
    assert monitor.prune()["articles"] == 0 and counted(finance_engine, tables.articles) == 433
    # and back: sources are due at once, and alerts are judged again from now on
    moving.forward(days=-400, minutes=20)
    assert len(monitor.poll()) == 8
    found = monitor.detect()
    assert found.times > 0
    with finance_engine.connect() as connection:
        seen = [a["observed"] for a in inbox.listed(finance_engine, True) if a["observed"]]
        ahead = [text for text in seen if datetime.fromisoformat(text) > moving.now]
        assert connection.scalar(select(tables.marks.c.at).where(tables.marks.c.name == detection.MARK)) <= moving.now
    assert seen and ahead == []
