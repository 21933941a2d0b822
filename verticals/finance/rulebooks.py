"""The rule book in force: the latest that was saved, else the shipped file; and the receivers of the settings."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select

from core.access import audit
from core.errors import InputError
from verticals.finance import tables
from verticals.finance.alerts.channels import check
from verticals.finance.alerts.rules import Receiver, RuleBook, load_rules, parse_rules
from verticals.finance.settings import FinanceSettings

SAMPLE_INBOX = "sample-inbox"


@dataclass(frozen=True)
class SavedBook:
    """A rule book as it was written. ``number`` is None for the shipped file."""

    text: str
    number: int | None
    author: str
    at: datetime | None
    comment: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        at = self.at.isoformat() if self.at else None
        return {"version": self.number, "author": self.author, "at": at, "comment": self.comment, "text": self.text}


def in_force(engine: Engine, settings: FinanceSettings) -> RuleBook:
    """The book that alerts are judged by, with every receiver. Raises InputError when the shipped file is bad."""
    saved = current(engine, settings)
    book = parse(saved.text, f"rule book {saved.number}") if saved.number else load_rules(settings.rules_file)
    return with_receivers(book, settings)


def with_receivers(book: RuleBook, settings: FinanceSettings) -> RuleBook:
    """The book and the receivers that come from the settings: a webhook, and the sample server's inbox."""
    more = []
    names = {receiver.name for receiver in book.receivers}
    if settings.webhook and "webhook" not in names:
        more.append(Receiver(name="webhook", url=settings.webhook))
    if settings.sample and SAMPLE_INBOX not in names:
        more.append(Receiver(name=SAMPLE_INBOX, url=f"http://127.0.0.1:{settings.sample_port}/inbox"))
    return book.model_copy(update={"receivers": (*book.receivers, *more)}) if more else book


def current(engine: Engine, settings: FinanceSettings) -> SavedBook:
    """What is in force, as text."""
    found = history(engine, limit=1)
    if found:
        return found[0]
    try:
        text = settings.rules_file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{settings.rules_file}: cannot be read ({error.strerror}).") from error
    return SavedBook(text, None, "", None)


def history(engine: Engine, limit: int = 20) -> list[SavedBook]:
    """Saved books, newest first."""
    table = tables.rulebooks
    with engine.connect() as connection:
        rows = connection.execute(select(table).order_by(table.c.id.desc()).limit(limit)).all()
    return [SavedBook(row.text, row.id, row.author, row.at, row.comment) for row in rows]


def parse(text: str, where: str = "the rules") -> RuleBook:
    """A book from TOML text, its receivers' addresses checked. Raises InputError naming table and field."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}.") from error
    book = parse_rules(values, where)
    for receiver in book.receivers:
        check(receiver)
    return book


def save(engine: Engine, text: str, author: str, now: datetime, comment: str = "") -> int:
    """Put a book in force from the next evaluation on. Returns its number. Raises InputError for a bad one."""
    parse(text)
    values = {"text": text, "author": author, "at": now, "comment": comment.strip()}
    with engine.begin() as connection:
        made = connection.execute(insert(tables.rulebooks).values(**values).returning(tables.rulebooks.c.id))
        number = int(made.scalar_one())
        audit.record(connection, "rules-save", f"finance rule book {number}", now, author, "")
        return number


_TABLE = re.compile(r"^[ \t]*\[\[?[^\]\n]+\]\]?[ \t]*(#.*)?$", re.MULTILINE)


def changed(text: str, rule: str, values: Mapping[str, Any]) -> str:
    """The text of a book with some fields of one rule set; everything else, comments too, stays as it is written.

    Raises InputError when there is no such rule.
    """
    if not values:
        return text
    heads = list(_TABLE.finditer(text))
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(text)
        block = text[head.end() : end]
        named = re.search(r"^[ \t]*id[ \t]*=[ \t]*[\"']([^\"'\n]*)[\"']", block, re.MULTILINE)
        if "rules" in head[0] and named is not None and named[1] == rule:
            for name, value in values.items():
                block = _set(block, name, value)
            return text[: head.end()] + block + text[end:]
    raise InputError(f"there is no rule {rule!r} in the book.")


def _set(block: str, name: str, value: Any) -> str:
    line = f"{name} = {json.dumps(value)}"  # of strings, numbers and booleans JSON and TOML have the same spelling
    written = re.compile(rf"^([ \t]*){re.escape(name)}[ \t]*=[^\n#]*?([ \t]*#[^\n]*)?$", re.MULTILINE)
    if written.search(block):
        return written.sub(lambda match: f"{match[1]}{line}{match[2] or ''}", block, count=1)
    identity = re.compile(r"^[ \t]*id[ \t]*=[^\n]*$", re.MULTILINE)
    return identity.sub(lambda match: f"{match[0]}\n{line}", block, count=1)
