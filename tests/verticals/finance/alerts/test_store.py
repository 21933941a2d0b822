from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select

from core.errors import InputError
from verticals.finance.alerts import actions, tables
from verticals.finance.alerts.rules import Matcher, RuleBook
from verticals.finance.alerts.states import Observation
from verticals.finance.alerts.store import Target, evaluate

HOUR = timedelta(hours=1)


def topic(book: RuleBook, name: str = "Energy", **labels: object) -> Target:
    return Target(book.rules[0], name, labels)


def surge(at: datetime, **more: object) -> Observation:
    return Observation(at, anomaly=True, score=0.99, stories=9, evidence=("s1",), **more)  # type: ignore[arg-type]


def queued(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(tables.outbox).order_by(tables.outbox.c.id)).mappings()
        return [(row["receiver"], row["payload"]["kind"]) for row in rows]


def test_an_alert_its_trail_and_its_message_appear_together(engine: Engine, book: RuleBook, now: datetime) -> None:
    evaluate(engine, book, [(topic(book), surge(now))], now)
    (row,) = actions.open_alerts(engine)
    assert (row["status"], row["subject"], row["state"]["evidence"]) == ("firing", "Energy", ["s1"])
    assert queued(engine) == [("desk", "firing")]  # the night receiver hears of critical alerts only
    assert [event["kind"] for event in actions.history(engine, row["fingerprint"][:12])] == ["transition", "queued"]
    evaluate(engine, book, [(topic(book), surge(now))], now)
    assert queued(engine) == [("desk", "firing")]


def test_an_outage_mutes_the_topics_of_its_source_in_the_same_round(
    engine: Engine, book: RuleBook, now: datetime
) -> None:
    down = Target(book.rules[1], "wire", {})
    fed, other = topic(book, "Energy", source=["wire"]), topic(book, "Gold", source=["desk"])
    for minute in (0, 2):
        at = now + timedelta(minutes=minute)
        evaluate(engine, book, [(down, Observation(at, "nodata", reason="no answer for 6 h"))], at)
    later = now + HOUR
    evaluate(engine, book, [(fed, surge(later)), (other, surge(later))], later)
    assert queued(engine) == [("desk", "nodata"), ("night", "nodata"), ("desk", "firing")]
    muted = [e for e in actions.history(engine, fed.fingerprint) if e["kind"] == "muted"]
    assert muted[0]["detail"] == {"notification": "firing", "by": "alert source-down on wire"}
    # the source is back and the surge is still there: now it is told
    back = later + HOUR
    evaluate(engine, book, [(fed, surge(back)), (down, Observation(back))], back)
    assert queued(engine)[-1] == ("desk", "firing")


def test_silence_snooze_and_their_end(engine: Engine, book: RuleBook, now: datetime) -> None:
    number = actions.silence(engine, [Matcher(label="topic", value="En.*", regex=True)], "ana", now, now + HOUR)
    evaluate(engine, book, [(topic(book), surge(now)), (topic(book, "Gold"), surge(now))], now)
    assert len(queued(engine)) == 1
    actions.expire(engine, number, now + HOUR / 2)
    at = now + HOUR / 2
    evaluate(engine, book, [(topic(book), surge(at))], at)
    assert len(queued(engine)) == 2
    gold = topic(book, "Gold").fingerprint
    actions.snooze(engine, gold, "ana", at, at + HOUR)
    evaluate(engine, book, [(topic(book, "Gold"), Observation(at + HOUR / 2))], at + HOUR / 2)
    assert len(queued(engine)) == 2
    evaluate(engine, book, [(topic(book, "Gold"), Observation(at + 2 * HOUR))], at + 2 * HOUR)
    assert queued(engine)[-1] == ("desk", "resolved")


def test_people_leave_a_trail(engine: Engine, book: RuleBook, now: datetime) -> None:
    evaluate(engine, book, [(topic(book), surge(now))], now)
    alert = topic(book).fingerprint[:12]
    actions.acknowledge(engine, alert, "ana", now)
    actions.assign(engine, alert, "ana", now, "ben")
    actions.note(engine, alert, "ben", now, "checked with the desk")
    (row,) = actions.open_alerts(engine)
    assert (row["acknowledged_by"], row["assignee"]) == ("ana", "ben")
    trail = actions.history(engine, alert)
    assert [event["actor"] for event in trail][-3:] == ["ana", "ana", "ben"]
    # acknowledged: two days without a reminder; a new episode starts without an owner
    for hour in range(1, 49):
        evaluate(engine, book, [(topic(book), surge(now + hour * HOUR))], now + hour * HOUR)
    assert queued(engine) == [("desk", "firing")]
    for hour, found in ((50, Observation(now + 50 * HOUR)), (51, surge(now + 51 * HOUR))):
        evaluate(engine, book, [(topic(book), found)], now + hour * HOUR)
    (row,) = actions.open_alerts(engine)
    assert (row["acknowledged_by"], row["assignee"], row["state"]["episode"]) == (None, None, 2)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda e, n: actions.acknowledge(e, "0" * 12, "ana", n), "no alert begins with '000000000000'"),
        (lambda e, n: actions.acknowledge(e, "%", "ana", n), "'%' is not an alert's id"),
        (lambda e, n: actions.snooze(e, "0" * 12, "ana", n, n), "not in the future"),
        (lambda e, n: actions.note(e, "0" * 12, "ana", n, "  "), "the note is empty"),
        (lambda e, n: actions.silence(e, [], "ana", n, n + HOUR), "at least one condition"),
        (lambda e, n: actions.expire(e, 7, n), "there is no silence 7"),
    ],
)
def test_a_mistake_is_one_sentence(engine: Engine, now: datetime, act, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as error:
        act(engine, now)
    assert message in str(error.value)


def test_two_workers_and_an_analyst_at_once_lose_nothing(engine: Engine, book: RuleBook, now: datetime) -> None:
    evaluate(engine, book, [(topic(book), surge(now))], now)
    alert = topic(book).fingerprint

    def work(number: int) -> None:
        if number % 3 == 0:
            actions.note(engine, alert, "ana", now, f"note {number}")
        else:
            at = now + timedelta(minutes=number)
            evaluate(engine, book, [(topic(book), surge(at)), (topic(book, f"T{number}"), surge(at))], at)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 31)))
    notes = [e["detail"]["text"] for e in actions.history(engine, alert) if e["kind"] == "note"]
    assert sorted(notes) == sorted(f"note {n}" for n in range(3, 31, 3))
    assert len(queued(engine)) == len(set(queued_keys(engine))) == 1 + 20
    assert len(actions.open_alerts(engine)) == 21


def queued_keys(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.outbox)) is not None
        return list(connection.scalars(select(tables.outbox.c.dedupe_key)))
