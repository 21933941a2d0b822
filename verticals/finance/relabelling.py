"""What analysts say instead of the model: kept beside its labels, counted at once, and training rows later."""

from datetime import datetime

from sqlalchemy import Connection, Engine, insert, select

from core.errors import InputError
from core.operations.feedback import Correction, record
from verticals.finance import tables
from verticals.finance.grouping import SENTIMENTS, labelled, refresh

FIELDS = ("sentiment", "topic", "company")


def relabel(engine: Engine, article: int, field: str, label: str, actor: str, now: datetime, company: str = "") -> bool:
    """Correct an article's sentiment, its topic, or its sentiment toward a company it names (``company``: its code).

    The story, its hours and the training rows follow in the same transaction. Returns False when that is what is said
    already. Raises InputError for what does not exist.
    """
    label, actor = label.strip(), actor.strip()
    if field not in FIELDS:
        raise InputError(f"field {field!r} is unknown; choose from {', '.join(FIELDS)}.")
    if field != "topic" and label not in SENTIMENTS:
        raise InputError(f"sentiment {label!r} is unknown; choose from {', '.join(SENTIMENTS)}.")
    if not label or len(label) > 120:
        raise InputError("a topic needs between 1 and 120 characters.")
    if not actor:
        raise InputError("say who corrects it.")
    with engine.begin() as connection:
        rows = labelled(connection, tables.articles.c.id == article)
        if not rows:
            known = connection.scalar(select(tables.articles.c.id).where(tables.articles.c.id == article))
            raise InputError(f"article {article} has no labels yet." if known else f"there is no article {article}.")
        row = rows[0]
        if field == "company":
            codes = {c["code"]: c["sentiment"] for c in row["companies"]}
            if company not in codes:
                raise InputError(
                    f"article {article} names no company {company!r}; it names {', '.join(codes) or 'none'}."
                )
            before = codes[company]
        else:
            company, before = "", row[field]
        if before == label and f"{field}:{company}".rstrip(":") in row.get("corrected", {}):
            return False
        values = {"article": article, "field": field, "subject": company, "before": before, "after": label}
        made = insert(tables.relabels).values(**values, actor=actor, at=now).returning(tables.relabels.c.id)
        number = int(connection.execute(made).scalar_one())
        if row["story"] is not None:
            refresh(connection, [row["story"]])
        _teach(connection, row["title"], field, label, before, company, actor, now, f"relabel:{number}", article)
    return True


def _teach(
    connection: Connection,
    title: str,
    field: str,
    label: str,
    before: str | None,
    company: str,
    actor: str,
    now: datetime,
    source: str,
    article: int,
) -> None:
    """A row for the next training. Toward a company it is a pair of the title and the company's name."""
    name = None
    if field == "company":
        companies = labelled(connection, tables.articles.c.id == article)[0]["companies"]
        name = next((c.get("name") or c["code"] for c in companies if c["code"] == company), company)
    task = {"sentiment": "sentiment", "topic": "topic", "company": "company-sentiment"}[field]
    record(
        connection,
        Correction(
            vertical="finance",
            task=task,
            text=title,
            pair=name,
            label=label,
            actor=actor,
            time=now,
            source=source,
            detail={"article": article, "before": before},
        ),
    )
