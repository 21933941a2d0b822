import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select

from core.errors import InputError
from verticals.finance import pushing, reading, relabelling, rollup, store, tables, watch
from verticals.finance.polling import Poller
from verticals.finance.pushing import Pushed

labelled = pytest.mark.parametrize("finance_engine", ["labelled"], indirect=True)


def articles(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(tables.articles)) or 0)


def test_items_and_the_end_of_a_visit_are_stored_together(
    finance_engine: Engine, sample_site: SimpleNamespace, moving: Any
) -> None:
    """A crash in between must not leave a state that makes the server answer "unchanged" to items that are lost."""

    class Crash(BaseException):
        pass

    def crash(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE finance_sources SET state"):
            raise Crash

    event.listen(finance_engine, "before_cursor_execute", crash)
    try:
        with Poller(finance_engine, sample_site.settings, moving) as poller, pytest.raises(Crash):
            poller.run(only=("sample-tapeside",))
    finally:
        event.remove(finance_engine, "before_cursor_execute", crash)
    assert articles(finance_engine) == 0
    # the claim keeps others away for a while, then the source is visited again and everything comes
    with Poller(finance_engine, sample_site.settings, moving) as poller:
        assert poller.run(only=("sample-tapeside",)) == []
        moving.forward(minutes=11)
        (visit,) = poller.run(only=("sample-tapeside",))
    assert visit.report.outcome == "ok" and articles(finance_engine) == len(visit.stored.new) > 0


def test_a_locked_database_loses_nothing(
    finance_engine: Engine, sample_site: SimpleNamespace, moving: Any, var: Path
) -> None:
    # Waits a moment instead of the product's half minute.
    event.listen(finance_engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=50"))
    finance_engine.dispose()
    with Poller(finance_engine, sample_site.settings, moving) as poller:
        taken = watch.due(finance_engine, sample_site.settings, moving.now, 1, ("sample-tapeside",))
        watch.release(finance_engine, "sample-tapeside", moving.now)
        assert taken
        other = sqlite3.connect(var / "headwater.db", isolation_level=None, check_same_thread=False)
        real = store.keep_visit

        def locked(*arguments: Any) -> Any:
            other.execute("BEGIN IMMEDIATE")
            try:
                return real(*arguments)
            finally:
                other.execute("ROLLBACK")

        store.keep_visit = locked  # type: ignore[assignment]
        try:
            assert poller.run(only=("sample-tapeside",)) == []
        finally:
            store.keep_visit = real
        assert articles(finance_engine) == 0
        moving.forward(minutes=11)
        (visit,) = poller.run(only=("sample-tapeside",))
    assert len(visit.stored.new) == articles(finance_engine) > 0
    other.close()


def test_two_processes_that_store_the_same_keep_it_once(finance_engine: Engine, moving: Any) -> None:
    sent = [Pushed(title=f"Story number {n} of the day", id=str(n)) for n in range(30)]
    errors: list[BaseException] = []

    def push() -> None:
        try:
            pushing.push(finance_engine, sent, moving.now)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert articles(finance_engine) == 30


def test_a_push_is_idempotent_and_a_correction_is_labelled_anew(finance_engine: Engine, moving: Any) -> None:
    one = Pushed(title="Quillon cuts its forecast", id="a1", source="desk", published=moving.now + timedelta(days=9))
    first = pushing.push(finance_engine, [one], moving.now)
    again = pushing.push(finance_engine, [one], moving.now + timedelta(minutes=5))
    assert (first.new, again.new, again.duplicates, again.articles) == (1, 0, 1, first.articles)
    mended = one.model_copy(update={"title": "Quillon keeps its forecast"})
    changed = pushing.push(finance_engine, [mended], moving.now + timedelta(minutes=6))
    assert (changed.updated, changed.articles) == (1, first.articles)
    row = reading.article(finance_engine, first.articles[0])
    assert (row["title"], row["revision"], row["stage"]) == ("Quillon keeps its forecast", 2, tables.STORED)
    assert row["time"] == moving.now.isoformat()  # not the future one
    with pytest.raises(InputError, match="send between 1 and 1000"):
        pushing.push(finance_engine, [], moving.now)


@labelled
def test_what_an_analyst_says_counts_at_once_and_is_learnt(
    make_monitor: Callable[..., Any], finance_engine: Engine, moving: Any
) -> None:
    from core.operations.feedback import corrections

    monitor = make_monitor()
    found = reading.stories(finance_engine, moving.now - timedelta(days=2), moving.now, "company", "MRWDLB", "negative")
    story = reading.story(finance_engine, found[0]["id"])
    (article,) = story["members"]

    def negatives() -> int:
        rows = reading.trend(finance_engine, moving.now - timedelta(days=2), moving.now, "company", "MRWDLB", "hour")
        return sum(row["negatives"] for row in rows)

    before = negatives()
    say = (finance_engine, article["id"], "company", "neutral", "mei", moving.now, "MRWDLB")
    assert relabelling.relabel(*say) and not relabelling.relabel(*say)
    assert relabelling.relabel(finance_engine, article["id"], "topic", "Ponds", "mei", moving.now)
    rollup.roll_up(finance_engine)
    assert negatives() == before - 1
    assert reading.story(finance_engine, story["id"])["topic"] == "Ponds"
    assert reading.article(finance_engine, article["id"])["labels"]["corrected"] == {
        "company:MRWDLB": "mei",
        "topic": "mei",
    }
    (taught,) = corrections(finance_engine, "finance", "company-sentiment")
    assert (taught.text, taught.pair, taught.label, taught.actor) == (
        article["title"],
        "Merrowdale Bank",
        "neutral",
        "mei",
    )
    # a new model does not overrule people
    monitor.label()
    assert reading.article(finance_engine, article["id"])["labels"]["topic"] == "Ponds"
    for wrong, said in (
        (("sentiment", "good", "mei", moving.now), "sentiment 'good' is unknown"),
        (("company", "negative", "mei", moving.now, "NOPE"), "names no company 'NOPE'"),
        (("tone", "negative", "mei", moving.now), "field 'tone' is unknown"),
    ):
        with pytest.raises(InputError, match=said):
            relabelling.relabel(finance_engine, article["id"], *wrong)
    with pytest.raises(InputError, match="there is no article 99999"):
        relabelling.relabel(finance_engine, 99999, "sentiment", "negative", "mei", moving.now)


@labelled
def test_pruning_forgets_old_articles_and_keeps_counts(
    make_monitor: Callable[..., Any], finance_engine: Engine, sample_site: SimpleNamespace, moving: Any
) -> None:
    settings = sample_site.settings.model_copy(update={"keep_days": 30})
    monitor = make_monitor(settings=settings)
    weeks = reading.trend(finance_engine, moving.now - timedelta(days=60), moving.now, "all", None, "week")
    gone = monitor.prune()
    assert gone["articles"] > 0 and articles(finance_engine) == 433 - gone["articles"]
    with finance_engine.connect() as connection:
        oldest = connection.scalar(select(func.min(tables.articles.c.time)))
    assert oldest >= moving.now - timedelta(days=30)
    assert reading.trend(finance_engine, moving.now - timedelta(days=60), moving.now, "all", None, "week") == weeks
    assert monitor.prune()["articles"] == 0


@labelled
def test_similar_articles_are_those_of_the_story_first(finance_engine: Engine, moving: Any) -> None:
    rows = reading.stories(finance_engine, moving.now - timedelta(days=60), moving.now, limit=1000)
    told = max(rows, key=lambda row: row["articles"])
    members = {member["id"] for member in reading.story(finance_engine, told["id"])["members"]}
    assert len(members) == 6
    first = min(members)
    nearest = reading.similar(finance_engine, first, limit=5)
    assert {row["id"] for row in nearest} == members - {first}
    assert all(row["similarity"] > 0.99 for row in nearest)
