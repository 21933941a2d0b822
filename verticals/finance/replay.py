"""History through the code that runs live (dedupe, label, tell, count, judge, alert) with a simulated clock."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from core.errors import InputError
from verticals.finance import detection
from verticals.finance.alerts import tables as alert_tables
from verticals.finance.alerts.rules import Rule, RuleBook, load_rules
from verticals.finance.alerts.states import Observation
from verticals.finance.alerts.store import Target
from verticals.finance.articles import WINDOW, Article, Known, KnownArticle, deduplicate
from verticals.finance.fetching.items import Item
from verticals.finance.grouping import told
from verticals.finance.labels import Label
from verticals.finance.replay_result import ReplayResult, episodes, read_events
from verticals.finance.rollup import Counts, count
from verticals.finance.settings import FinanceSettings, finance_settings
from verticals.finance.stories import StoryIndex, StoryPoint, lookback

BATCH = 4096  # headlines labelled at once: of many, those of like length go together
DEDUPED = 500  # rows compared at once with each other and with what is near in time
# Seconds before midnight at which a day is judged: all its headlines are there, and it is still that day.
LAST_MINUTE = 60.0
EVIDENCE = 8
AT_ONCE = timedelta(days=28)  # alerts are advanced in such pieces, after each of which calm ones are left out again

Series = dict[datetime, Counts]


class Labels(Protocol):
    """What labels articles: ``labels.Labeller``, or labels that were made before."""

    def label(self, articles: Sequence[Any]) -> Sequence[Label]:
        """One label for each."""
        ...


def replay(
    path: Path,
    rules: RuleBook | Path,
    settings: FinanceSettings | None = None,
    events: Path | None = None,
    step: timedelta | None = None,
    labeller: Labels | None = None,
    now: datetime | None = None,
) -> ReplayResult:
    """What the rules would have raised over an archive of dated headlines (a CSV, a JSON lines file or a folder).

    The clock moves in steps of an hour, or of a day where the archive has days without times; what is judged at a
    time is what was there by then: an article that joins a story later does not change what it was counted as.
    ``events``: a CSV of marked events (time, name). Rules on outages are left out: an archive does not say when its
    source was down. Raises InputError naming file and row.
    """
    settings = settings or finance_settings()
    book = load_rules(rules) if isinstance(rules, Path) else rules
    marked = read_events(events) if events is not None else []
    items = read_items(path, now or datetime.now(UTC))
    new, duplicates = deduplicated(items)
    if labeller is None:
        from verticals.finance.labels import Labeller

        labeller = Labeller.open(settings, engine="onnx")
    items_labelled = list(labelled(new, labeller))
    step = step or _step(items)
    stories = tell(items_labelled, step)
    times = _times(stories, step)
    silent = book.model_copy(update={"receivers": ()})
    scratch = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    try:
        alert_tables.metadata.create_all(scratch)
        raised = episodes(scratch, _judge(scratch, silent, stories, times))
    finally:
        scratch.dispose()
    return ReplayResult(
        articles=len(new),
        duplicates=duplicates,
        stories=len(stories),
        since=times[0],
        until=times[-1],
        alerts=tuple(raised),
        events=tuple(event.against(raised) for event in marked),
    )


def read_items(path: Path, now: datetime) -> list[Item]:
    """Dated items, oldest first. Raises InputError when the archive cannot be read or no row has a date."""
    from verticals.finance.fetching.archives import read_file, read_folder
    from verticals.finance.fetching.feeds import Context, Unreadable

    context = Context(source=path.stem, url="", now=now, clamp=False)
    try:
        archive = read_folder(path, context) if path.is_dir() else read_file(path, context)
    except Unreadable as error:
        raise InputError(f"{error}.") from error
    dated = [item for item in archive.items if item.published is not None]
    if not dated:
        raise InputError(f"{path}: no row has a date; a replay needs to know when each headline came.")
    return sorted(dated, key=lambda item: item.time)


def deduplicated(items: Sequence[Item]) -> tuple[list[Article], int]:
    """New articles, and how many rows repeated one; as in a poll, only what is near in time is looked at."""
    new: list[Article] = []
    duplicates = 0
    recent: list[KnownArticle] = []
    for start in range(0, len(items), DEDUPED):
        part = items[start : start + DEDUPED]
        recent = [known for known in recent if known.time >= part[0].time - WINDOW]
        found = deduplicate(part, Known.of(recent))
        new += found.new
        duplicates += len(found.duplicates)
        recent += [article.known() for article in found.new]
    return new, duplicates


def _step(items: Sequence[Item]) -> timedelta:
    days = sum(item.date_only for item in items)
    return timedelta(days=1) if days * 2 > len(items) else timedelta(hours=1)


def labelled(articles: Sequence[Article], labeller: Labels) -> Iterator[tuple[Item, Label]]:
    """The articles with what the labeller says about them, in their order."""
    for start in range(0, len(articles), BATCH):
        part = [article.item for article in articles[start : start + BATCH]]
        yield from zip(part, labeller.label(part), strict=True)


def tell(labelled: Sequence[tuple[Item, Label]], step: timedelta) -> list[dict[str, Any]]:
    """Stories as they were known at the first step after each began; ``sources`` and counts are of that moment."""
    index = StoryIndex()
    members: dict[int, list[dict[str, Any]]] = {}
    first_step: dict[int, datetime] = {}
    for number, (item, label) in enumerate(labelled):
        if number % 1000 == 0:
            index.forget(item.time - lookback())
        point = StoryPoint(number, item.time, label.vector, item.title)
        story = index.find(point)
        if story is None:
            story = number
            members[story], first_step[story] = [], _next_step(item.time, step)
        index.add(point, story)
        if item.time < first_step[story]:
            members[story].append(_row(item, label))
    return [told(rows) for rows in members.values()]


def _row(item: Item, label: Label) -> dict[str, Any]:
    companies = [tag.to_dict() for tag in label.companies]
    about = {"topic": label.topic, "topic_probability": label.topic_probability, "companies": companies}
    return {"time": item.time, "source": item.source, "title": item.title, **label.probabilities, **about}


def _next_step(at: datetime, step: timedelta) -> datetime:
    """The first time of the clock after ``at``: a full hour, or with steps of days the last minute of a day."""
    seconds = step.total_seconds()
    early = LAST_MINUTE if step >= timedelta(days=1) else 0.0
    return datetime.fromtimestamp(((at.timestamp() + early) // seconds + 1) * seconds - early, UTC)


def _times(stories: Sequence[Mapping[str, Any]], step: timedelta) -> list[datetime]:
    first, last = stories[0]["first"], stories[-1]["first"]
    times = [_next_step(first, step)]
    while times[-1] <= last:
        times.append(times[-1] + step)
    return times


def _judge(
    scratch: Engine, book: RuleBook, stories: Sequence[Mapping[str, Any]], times: Sequence[datetime]
) -> list[tuple[Target, list[Observation]]]:
    from verticals.finance.surges import observe

    series: dict[tuple[str, str], Series] = defaultdict(dict)
    for (scope, subject, hour), counts in count(stories).items():
        series[scope, subject][hour] = counts
    evidence = _Evidence(stories)
    seen: list[tuple[Target, list[Observation]]] = []
    for rule in book.rules:
        if not rule.enabled or rule.measure == "outage":
            continue
        for (scope, subject), hours in series.items():
            if scope != rule.scope or (rule.only and subject not in rule.only):
                continue
            found = observe(rule, hours, times, times[0])
            found = [evidence.add(rule, subject, one) if one.anomaly else one for one in found]
            seen.append((Target(rule, subject or "all", {}), found))
    piece = int(AT_ONCE / (times[1] - times[0])) if len(times) > 1 else 1
    for start in range(0, len(times), piece):
        detection.advance(scratch, book, [(target, found[start : start + piece]) for target, found in seen])
    return seen


class _Evidence:
    """Titles behind an observation: the most negative stories of its window, or for volume the widest told."""

    def __init__(self, stories: Sequence[Mapping[str, Any]]) -> None:
        self.stories = sorted(stories, key=lambda story: story["first"])
        self.times = [story["first"].timestamp() for story in self.stories]

    def add(self, rule: Rule, subject: str, seen: Observation) -> Observation:
        from bisect import bisect_left

        begin, end = (bisect_left(self.times, at.timestamp()) for at in (seen.at - rule.window, seen.at))
        rows = [story for story in self.stories[begin:end] if _about(story, rule.scope, subject)]
        if rule.measure == "volume":
            rows.sort(key=lambda story: -story["articles"])
        else:
            rows.sort(key=lambda s: s["companies"][subject][1] if rule.scope == "company" else s["score"])
        return replace(seen, evidence=tuple(story["title"] for story in rows[:EVIDENCE]))


def _about(story: Mapping[str, Any], scope: str, subject: str) -> bool:
    if scope == "topic":
        return bool(story["topic"] == subject)
    if scope == "company":
        return subject in story["companies"]
    return scope == "all" or subject in story["sources"]
