"""The stage that judges: every rule on every subject at the times since the last run, and what that does to alerts."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select

from verticals.finance import store, tables, watch
from verticals.finance.alerts.rules import Rule, RuleBook
from verticals.finance.alerts.states import Observation, Step
from verticals.finance.alerts.store import Target, evaluate, idle, rewind, states
from verticals.finance.rollup import Series, series
from verticals.finance.watch import Watched

MARK = "evaluated"
STEP = timedelta(minutes=10)
CATCH_UP = timedelta(days=3)  # after a longer pause what lies before is history, not news
HISTORY = timedelta(days=120)  # what a baseline may look back on
FEEDS = timedelta(days=28)  # over which a subject's sources are told
CLOCK_SLACK = timedelta(hours=1)
EVIDENCE = 8

# A rule, the hourly counts of one subject, times, and since when there are records: one observation for each time,
# from what was known by then alone.
Observe = Callable[[Rule, Series, Sequence[datetime], datetime | None], Sequence[Observation]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detected:
    """What one run judged, and the alerts that changed."""

    times: int = 0
    subjects: int = 0
    changed: tuple[tuple[Target, Step], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Counts, and what moved."""
        moves = [
            {"rule": target.rule.id, "subject": target.subject, "from": old, "to": new}
            for target, step in self.changed
            for old, new in step.transitions
        ]
        return {"times": self.times, "subjects": self.subjects, "transitions": moves}


def detect(engine: Engine, book: RuleBook, watched: Sequence[Watched], observe: Observe, now: datetime) -> Detected:
    """Judge everything that is due and move the mark.

    The mark moves after the alerts: a process that dies in between judges the same times again, which changes nothing.
    """
    with engine.connect() as connection:
        last = store.marked(connection, MARK)
    since = last[0] if last else now - CATCH_UP
    if since > now + CLOCK_SLACK:
        _log.warning("the clock went back from %s to %s; alerts are judged from now on", since, now)
        rewind(engine, now)
        since = now - STEP
    times = due_times(max(since, now - CATCH_UP), now)
    if not times:
        return Detected()
    seen = list(observed(engine, book, watched, observe, times))
    changed = advance(engine, book, seen)
    with engine.begin() as connection:
        store.mark(connection, MARK, times[-1], {"at": now.isoformat(), "subjects": len(seen)})
    return Detected(len(times), len(seen), tuple(changed))


def due_times(since: datetime, now: datetime) -> list[datetime]:
    """Full hours after ``since``, at which an hour's count is complete, and the latest step."""
    hour = since.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    times = []
    while hour <= now:
        times.append(hour)
        hour += timedelta(hours=1)
    step = datetime.fromtimestamp(now.timestamp() // STEP.total_seconds() * STEP.total_seconds(), UTC)
    if step > since and (not times or step > times[-1]):
        times.append(step)
    return times


Seen = tuple[Target, list[Observation]]


def observed(
    engine: Engine, book: RuleBook, watched: Sequence[Watched], observe: Observe, times: Sequence[datetime]
) -> Iterable[Seen]:
    """What every enabled rule sees of every subject in its scope, at each of the times."""
    counts = series(engine, times[0] - HISTORY, times[-1])
    begun = min((hour for hours in counts.values() for hour in hours), default=None)
    down = {one.id: _down_since(one) for one in watched if one.enabled}
    feeds = _feeds(engine, times[-1])
    for rule in book.rules:
        if not rule.enabled:
            continue
        if rule.measure == "outage":
            for one in watched:
                if one.enabled and (not rule.only or one.id in rule.only):
                    yield Target(rule, one.id, {"source": one.id}), [_outage(one, down, rule, at) for at in times]
            continue
        for (scope, subject), hours in counts.items():
            if scope != rule.scope or (rule.only and subject not in rule.only):
                continue
            shares = feeds.get((scope, subject), {})
            target = Target(rule, subject or "all", _labels(rule, shares))
            try:
                found = list(observe(rule, hours, times, begun))
            except Exception as error:  # one series that cannot be judged must not hide the others
                _log.exception("rule %s on %s cannot be judged", rule.id, subject or "all")
                why = f"{type(error).__name__}: {error}"[:300]
                found = [Observation(at, "error", reason=why) for at in times]
            found = [_blinded(seen, shares, down, rule) for seen in found]
            yield target, [_with_evidence(engine, rule, subject, seen) for seen in found]


def advance(engine: Engine, book: RuleBook, seen: Sequence[Seen]) -> list[tuple[Target, Step]]:
    """In the order of time. Alerts that are at rest and stay so are left out: nothing of them would change."""
    known = states(engine)
    by_time: dict[datetime, list[tuple[Target, Observation]]] = defaultdict(list)
    for target, observations in seen:
        state = known.get(target.fingerprint)
        resting = state is None or idle(state)
        for observation in observations:
            resting = resting and not observation.anomaly and observation.kind == "value"
            if not resting:
                by_time[observation.at].append((target, observation))
    changed: list[tuple[Target, Step]] = []
    for at in sorted(by_time):
        changed += [(t, step) for t, step in evaluate(engine, book, by_time[at], at) if step.transitions]
    return changed


def _down_since(one: Watched) -> datetime | None:
    """When a source that fails was well for the last time; None for one that is well."""
    if one.problem:
        return one.state.last_success or datetime.min.replace(tzinfo=UTC)
    if one.state.failures == 0:
        return None
    return one.state.last_success or datetime.min.replace(tzinfo=UTC)


def _outage(one: Watched, down: Mapping[str, datetime | None], rule: Rule, at: datetime) -> Observation:
    since = down[one.id]
    if since is None or since > at - rule.window:
        return Observation(at)
    why = one.problem or one.state.last_error or "it fails"
    return Observation(at, "nodata", reason=f"no successful visit within {rule.window}: {why}"[:400])


def _blinded(
    seen: Observation, shares: Mapping[str, float], down: Mapping[str, datetime | None], rule: Rule
) -> Observation:
    """NoData instead of a verdict, while most of what the subject lives on cannot be reached."""
    silent = [
        s for s in shares if (since := down.get(s)) is not None and since <= seen.at - min(rule.window, rule.nodata)
    ]
    if seen.kind != "value" or seen.anomaly or sum(shares[s] for s in silent) <= 0.5:
        return seen
    reason = f"most of its stories come from sources that cannot be reached: {', '.join(sorted(silent)[:5])}"
    return Observation(seen.at, "nodata", reason=reason)


def _feeds(engine: Engine, until: datetime) -> dict[tuple[str, str], dict[str, float]]:
    """For each subject the share of its stories that each source told."""
    table = tables.stories
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    totals: Counter[tuple[str, str]] = Counter()
    query = select(table.c.topic, table.c.sources, table.c.companies).where(table.c.first.between(until - FEEDS, until))
    with engine.connect() as connection:
        for row in connection.execute(query):
            keys = [
                ("all", ""),
                *([("topic", row.topic)] if row.topic else []),
                *(("company", c) for c in row.companies),
            ]
            keys += [("source", source) for source in row.sources]
            for key in keys:
                totals[key] += 1
                found[key].update([key[1]] if key[0] == "source" else row.sources)
    return {key: {source: n / totals[key] for source, n in sources.items()} for key, sources in found.items()}


def _labels(rule: Rule, shares: Mapping[str, float]) -> dict[str, Any]:
    """A subject carries the label of a source only when most of its stories come from there: one outlet of eight that
    is down must not mute everything."""
    return {} if rule.scope == "source" else {"source": sorted(s for s, share in shares.items() if share > 0.5)}


def _with_evidence(engine: Engine, rule: Rule, subject: str, seen: Observation) -> Observation:
    if not seen.anomaly or seen.stories < rule.minimum_stories or seen.evidence:
        return seen
    found = stories_of(engine, rule.scope, subject, seen.at - rule.window, seen.at, rule.measure != "volume")
    return replace(seen, evidence=tuple(row["title"] for row in found[:EVIDENCE]))


def stories_of(
    engine: Engine, scope: str, subject: str, since: datetime, until: datetime, worst_first: bool = True
) -> list[dict[str, Any]]:
    """The stories that began in a span and count for a subject; the most negative (else the widest) first."""
    table = tables.stories
    query = select(table).where(table.c.first > since, table.c.first <= until)
    if scope == "topic":
        query = query.where(table.c.topic == subject)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    if scope == "company":
        rows = [row for row in rows if subject in row["companies"]]
    elif scope == "source":
        rows = [row for row in rows if subject in row["sources"]]

    def badness(row: Mapping[str, Any]) -> float:
        return float(row["companies"][subject][1] if scope == "company" else row["score"])

    return sorted(rows, key=(lambda r: (badness(r), -r["articles"])) if worst_first else (lambda r: -r["articles"]))


def ready(engine: Engine, watched: Sequence[Watched], waiting: int, now: datetime, patience: timedelta) -> bool:
    """Whether it is time to judge: sources overdue after a pause were visited and their articles labelled.

    A backlog that does not end keeps the alerts waiting for ``patience`` at most.
    """
    overdue = [
        one
        for one in watched
        if one.enabled
        and one.source is not None
        and one.state.failures == 0
        and (one.state.next_check is None or one.state.next_check < now - watch.CLAIM)
    ]
    if not overdue and not waiting:
        return True
    with engine.connect() as connection:
        last = store.marked(connection, MARK)
        begun = store.marked(connection, "started")
    since = last or begun
    return since is not None and now - since[0] > patience
