"""FAQ tables: CSV or JSON lines with question and answer, each row a document."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import InputError
from verticals.support.knowledge.documents import Parsed, Writer

_QUESTION = ("question", "q", "frage", "title", "问题")
_ANSWER = ("answer", "a", "response", "reply", "答案", "回答")


def parse_csv(text: str, separator: str = ",") -> list[Parsed]:
    """Rows of a table with the columns question and answer, and id, language, groups, url where there are."""
    try:
        return _entries(csv.DictReader(io.StringIO(text.lstrip("\ufeff")), delimiter=separator, strict=False))
    except csv.Error as error:
        raise InputError(f"it is not a readable table ({error})") from error


def parse_jsonl(text: str) -> list[Parsed]:
    """Objects, one a line, with the same keys."""
    return _entries(_objects(text))


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"line {number} is not JSON ({error})") from error
        if not isinstance(value, dict):
            raise InputError(f"line {number} is not an object with question and answer")
        yield value


def _entries(rows: Iterator[Mapping[str, Any]] | csv.DictReader) -> list[Parsed]:
    found: list[Parsed] = []
    for number, row in enumerate(rows, 1):
        fields = {str(key).strip().lower(): _text(value) for key, value in row.items() if key}
        question = next((fields[name] for name in _QUESTION if fields.get(name)), "")
        answer = next((fields[name] for name in _ANSWER if fields.get(name)), "")
        if not any(fields.values()):
            continue
        if number == 1 and not (set(_QUESTION) & set(fields) and set(_ANSWER) & set(fields)):
            raise InputError(f"the columns are {sorted(fields)}; an FAQ needs question and answer")
        if not question or not answer:
            raise InputError(f"row {number} has no {'answer' if question else 'question'}; fill it in or drop the row")
        writer = Writer()
        for line in answer.splitlines():
            writer.block(line)
        groups = tuple(g.strip() for g in fields.get("groups", "").split(",") if g.strip())
        about = {key: fields[key] for key in ("id", "language", "url", "updated") if fields.get(key)}
        found.append(writer.done(title=question, questions=(question,), groups=groups or None, **about))
    if not found:
        raise InputError("there are no rows; an FAQ needs rows with question and answer")
    return found


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "" if value is None else str(value).strip()
