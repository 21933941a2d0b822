"""SEntFiN 1.0 (Sinha et al., 2022): headlines with a sentiment for each entity named in them."""

import ast
import re
from collections.abc import Sequence

from core.data.plain import read_csv
from core.data.sources import Source
from core.data.table import EXAMPLES_SHOWN, Finding, Raw, counted, place
from core.errors import InputError

SENTIMENTS = ("negative", "neutral", "positive")

# Some names carry their own quotation mark unescaped, so a name ends only where its mark is followed by
# a colon, a quoted sentiment and a comma or the end.
_ENTRY = re.compile(
    r"""\s*(['"])(?P<name>.*?)\1\s*:\s*(['"])(?P<sentiment>negative|neutral|positive)\3\s*(?:,|\Z)""",
    re.DOTALL,
)


def parse_decisions(text: str) -> list[tuple[str, str]]:
    """Entities and their sentiments, in the order written, from ``{'name': 'sentiment', …}``.

    Raises ValueError when any part of the text is not such an entry: no entity is ever lost in silence.
    """
    body = text.strip()
    if len(body) < 2 or body[0] != "{" or body[-1] != "}":
        raise ValueError("it is not enclosed in braces")
    body = body[1:-1].strip()
    entries: list[tuple[str, str]] = []
    position = 0
    while position < len(body):
        match = _ENTRY.match(body, position)
        if match is None:
            raise ValueError(f"{body[position : position + 40].strip()!r} is not 'entity': 'sentiment'")
        entries.append((_unescape(match["name"], match[1]), match["sentiment"]))
        position = match.end()
    return entries


def read_titles(source: Source, wanted: Sequence[str]) -> Raw:
    """One row per headline: the sentiment its entities agree on; mixed headlines are dropped and reported."""
    text: list[str | None] = []
    label: list[str | None] = []
    rows: list[int] = []
    mixed: list[int] = []
    raw = read_csv(source, ("Title", "Decisions"))
    for title, decisions, row in zip(raw.columns["Title"], raw.columns["Decisions"], raw.rows, strict=True):
        sentiments = {sentiment for _, sentiment in _parse(source, decisions, row)}
        if len(sentiments) > 1:
            mixed.append(row)
            continue
        text.append(title)
        label.append(next(iter(sentiments), None))
        rows.append(row)
    findings = list(raw.findings)
    if mixed:
        examples = tuple(place(source.path, row, "Decisions") for row in mixed[:EXAMPLES_SHOWN])
        headlines = counted(len(mixed), "headline")
        message = f"{source.path}: {headlines} whose entities have different sentiments, dropped."
        findings.append(Finding("mixed_sentiment", "dropped", len(mixed), examples, message))
    return Raw({"text": text, "label": label}, rows, findings)


def read_entities(source: Source, wanted: Sequence[str]) -> Raw:
    """One row per headline and entity; the headline is also the group, so that a split can keep it whole."""
    columns: dict[str, list[str | None]] = {"text": [], "entity": [], "label": [], "title": []}
    rows: list[int] = []
    raw = read_csv(source, ("Title", "Decisions"))
    for title, decisions, row in zip(raw.columns["Title"], raw.columns["Decisions"], raw.rows, strict=True):
        for entity, sentiment in _parse(source, decisions, row):
            for name, value in zip(columns, (title, entity, sentiment, title), strict=True):
                columns[name].append(value)
            rows.append(row)
    return Raw(dict(columns), rows, raw.findings)


def _parse(source: Source, decisions: str | None, row: int) -> list[tuple[str, str]]:
    if decisions is None:
        return []
    try:
        return parse_decisions(decisions)
    except ValueError as error:
        raise InputError(f"{source.path}, row {row}, column Decisions: {error}; mend that cell.") from None


def _unescape(name: str, quote: str) -> str:
    if "\\" not in name:
        return name
    try:
        return str(ast.literal_eval(f"{quote}{name}{quote}"))
    except (ValueError, SyntaxError):
        return name
