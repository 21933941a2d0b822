"""The stage that labels: articles without current labels get them, a batch at a time, whatever was killed before."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select, update

from verticals.finance import tables

RELABEL_DAYS = 90  # how far back a new model version goes over what an old one said
MAX_ATTEMPTS = 3  # after which a text that cannot be labelled is left alone

_log = logging.getLogger(__name__)


class Label(Protocol):
    """What a labeller says about one article."""

    sentiment: str
    probabilities: Mapping[str, float]
    topic: str | None
    topic_probability: float | None
    companies: Sequence[Any]
    vector: Any


class Labeller(Protocol):
    """Labels texts; ``version`` changes when its answers may."""

    @property
    def version(self) -> str:
        """Names the models behind it."""
        ...

    def label(self, articles: Sequence[Any]) -> Sequence[Label]:
        """One answer for each article."""
        ...


@dataclass(frozen=True)
class Text:
    """What a labeller sees of an article."""

    title: str
    summary: str = ""
    text: str = ""
    language: str | None = None


def waiting(engine: Engine) -> int:
    """Articles that no labels were made for yet."""
    table = tables.articles
    where = (table.c.stage == tables.STORED) & (table.c.attempts < MAX_ATTEMPTS)
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table).where(where)) or 0)


def unfinished(engine: Engine) -> int:
    """Articles that are on their way into a story."""
    table = tables.articles
    where = (table.c.stage < tables.TOLD) & (table.c.attempts < MAX_ATTEMPTS)
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table).where(where)) or 0)


def outdated(engine: Engine, version: str | None, now: datetime) -> bool:
    """Whether some article has only labels of another model version; nobody knows before a model is open."""
    return version is not None and bool(_next(engine, version, now, 1))


def label_some(engine: Engine, labeller: Labeller, now: datetime, batch: int) -> int:
    """Label up to ``batch`` articles, new ones first, then those that an older model labelled. Returns how many."""
    rows = _next(engine, labeller.version, now, batch)
    if not rows:
        return 0
    texts = [Text(row.title, row.summary, row.text, row.language) for row in rows]
    try:
        labels = list(labeller.label(texts))
    except Exception as error:
        if len(rows) == 1:
            _log.exception("article %s cannot be labelled", rows[0].id)
            _failed(engine, rows[0].id, f"{type(error).__name__}: {error}"[:500])
            return 1
        # One bad text must not keep the others waiting: each is tried alone.
        for row in rows:
            _label_one(engine, labeller, row, now)
        return len(rows)
    with engine.begin() as connection:
        _write(connection, rows, labels, labeller.version, now)
    return len(rows)


def _label_one(engine: Engine, labeller: Labeller, row: Row[Any], now: datetime) -> None:
    try:
        (label,) = labeller.label([Text(row.title, row.summary, row.text, row.language)])
    except Exception as error:
        _log.exception("article %s cannot be labelled", row.id)
        _failed(engine, row.id, f"{type(error).__name__}: {error}"[:500])
        return
    with engine.begin() as connection:
        _write(connection, [row], [label], labeller.version, now)


def _next(engine: Engine, version: str, now: datetime, batch: int) -> Sequence[Row[Any]]:
    table, labels = tables.articles, tables.labels
    columns = [table.c[name] for name in ("id", "revision", "title", "summary", "text", "language")]
    with engine.connect() as connection:
        fresh = (table.c.stage == tables.STORED) & (table.c.attempts < MAX_ATTEMPTS)
        rows = connection.execute(select(*columns).where(fresh).order_by(table.c.time.desc()).limit(batch)).all()
        if rows:
            return rows
        old = (
            (labels.c.article == table.c.id)
            & labels.c.current
            & (labels.c.model != version)
            & (table.c.time >= now - timedelta(days=RELABEL_DAYS))
        )
        query = select(*columns).join(labels, old).where(table.c.attempts < MAX_ATTEMPTS)
        return connection.execute(query.order_by(table.c.time.desc()).limit(batch)).all()


def _write(
    connection: Connection, rows: Sequence[Row[Any]], made: Sequence[Label], version: str, now: datetime
) -> None:
    """Labels and stage together; a text that was corrected in between keeps its place in the queue."""
    table, labels = tables.articles, tables.labels
    same = (table.c.id == bindparam("number")) & (table.c.revision == bindparam("seen"))
    stage = update(table).where(same).values(stage=tables.LABELLED, attempts=0, problem=None)
    connection.execute(stage, [{"number": row.id, "seen": row.revision} for row in rows])
    ids = [row.id for row in rows]
    found = connection.execute(select(table.c.id, table.c.revision).where(table.c.id.in_(ids)))
    revisions = {row.id: row.revision for row in found}
    kept = [(row, label) for row, label in zip(rows, made, strict=True) if revisions.get(row.id) == row.revision]
    if not kept:
        return
    ids = [row.id for row, _ in kept]
    connection.execute(delete(labels).where(labels.c.article.in_(ids), labels.c.model == version))
    connection.execute(update(labels).where(labels.c.article.in_(ids)).values(current=False))
    connection.execute(insert(labels), [_values(row, label, version, now) for row, label in kept])


def _values(row: Row[Any], label: Label, version: str, now: datetime) -> dict[str, Any]:
    return {
        "article": row.id,
        "model": version,
        "revision": row.revision,
        "made": now,
        "current": True,
        "sentiment": label.sentiment,
        **{name: float(label.probabilities[name]) for name in ("negative", "neutral", "positive")},
        "topic": label.topic,
        "topic_probability": None if label.topic_probability is None else float(label.topic_probability),
        "companies": [company.to_dict() for company in label.companies],
        "vector": _packed(label.vector),
    }


def _packed(vector: Any) -> bytes | None:
    """Half precision: cosine similarities keep three digits, at half the room."""
    import numpy as np

    return None if vector is None else np.asarray(vector, dtype=np.float16).tobytes()


def unpacked(blob: bytes | None) -> Any:
    """The vector as float32, or None."""
    import numpy as np

    return None if blob is None else np.frombuffer(blob, dtype=np.float16).astype(np.float32)


def _failed(engine: Engine, number: int, why: str) -> None:
    table = tables.articles
    values = {"attempts": table.c.attempts + 1, "problem": why}
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == number).values(**values))


Open = Callable[[], Labeller]
__all__ = ["Label", "Labeller", "Open", "Text", "label_some", "unpacked", "waiting"]
