"""Logged conversations from JSON lines (one conversation a line) or CSV (one message a row)."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.errors import InputError

Role = Literal["customer", "agent"]
Outcome = Literal["resolved", "handed_over", "abandoned"]
LARGEST = 256 * 1024 * 1024  # bytes of a log file
_OUTCOMES = ("resolved", "handed_over", "abandoned")


class LogMapping(BaseModel):
    """What the fields of a log are called, and which words stand for its roles. CSV columns have the same names."""

    model_config = ConfigDict(extra="forbid")

    id: str = "id"
    turns: str = "turns"  # JSON lines only
    role: str = "role"
    text: str = "text"
    time: str = "minutes"
    accepted: str = "accepted"
    outcome: str = "outcome"
    csat: str = "csat"
    intent: str = "intent"
    customer_roles: tuple[str, ...] = ("customer", "user", "client", "contact", "visitor", "caller")
    agent_roles: tuple[str, ...] = ("agent", "assistant", "bot", "support", "operator", "staff")
    skipped_roles: tuple[str, ...] = ("system", "note", "activity")


@dataclass(frozen=True)
class Message:
    """``minutes`` since the conversation began, where the log tells; ``accepted`` whether it settled the question."""

    role: Role
    text: str
    minutes: float | None = None
    accepted: bool | None = None


@dataclass(frozen=True)
class Dialogue:
    """One conversation. ``csat``: 1 to 5."""

    id: str
    messages: tuple[Message, ...]
    outcome: Outcome | None = None
    csat: int | None = None
    intent: str | None = None


def read_logs(path: Path, mapping: LogMapping | None = None) -> list[Dialogue]:
    """Every conversation of a ``.jsonl`` or ``.csv`` file. Raises InputError naming file, row and field."""
    mapping = mapping or LogMapping()
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST // 1024**2} MB; split it.")
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: logs are read from .jsonl or .csv files; save it as one of them.")
    try:
        found = list(readers[path.suffix.lower()](path, mapping))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    if not found:
        raise InputError(f"{path} holds no conversations.")
    seen: set[str] = set()
    for dialogue in found:
        if dialogue.id in seen:
            raise InputError(f"{path}: {mapping.id} {dialogue.id!r} is there twice; each conversation needs its own.")
        seen.add(dialogue.id)
    return found


def _json_lines(path: Path, mapping: LogMapping) -> Iterator[Dialogue]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}, row {number}"
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(f"{where} is not valid JSON ({error}); write one conversation a line.") from error
            if not isinstance(row, dict):
                raise InputError(f"{where} is not an object; write one conversation a line.")
            turns = row.get(mapping.turns)
            if not isinstance(turns, list) or not turns:
                raise InputError(f"{where}, field {mapping.turns}: give a list of messages.")
            messages = []
            for place, turn in enumerate(turns, 1):
                if not isinstance(turn, dict):
                    raise InputError(f"{where}, {mapping.turns} {place}: a message is an object with role and text.")
                messages.append(_message(turn, f"{where}, {mapping.turns} {place}", mapping))
            yield _dialogue(str(row.get(mapping.id, number)), messages, row, where, mapping)


def _csv(path: Path, mapping: LogMapping) -> Iterator[Dialogue]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            names = reader.fieldnames or ()
        except csv.Error as error:
            raise InputError(f"{path}, row 1: {error}; name the columns there.") from error
        missing = [c for c in (mapping.id, mapping.role, mapping.text) if c not in names]
        if missing:
            raise InputError(f"{path} has no column {missing[0]!r}; its columns: {', '.join(names)}.")
        grouped: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        try:
            for row in reader:
                if None in row:
                    raise InputError(
                        f"{path}, row {reader.line_num}: more cells than columns; quote texts with commas."
                    )
                grouped.setdefault(str(row[mapping.id] or ""), []).append((reader.line_num, row))
        except csv.Error as error:
            raise InputError(f"{path}, row {reader.line_num}: {error}; quote texts that hold quotes.") from error
    for name, rows in grouped.items():
        if not name:
            raise InputError(f"{path}, row {rows[0][0]}, column {mapping.id}: is blank; name the conversation.")
        messages = [_message(row, f"{path}, row {number}", mapping) for number, row in rows]
        # What belongs to the whole conversation may stand in any of its rows; the last one that says so counts.
        whole = {key: value for _, row in rows for key, value in row.items() if value not in (None, "")}
        yield _dialogue(name, messages, whole, f"{path}, row {rows[0][0]}", mapping)


def _message(row: Mapping[str, Any], where: str, mapping: LogMapping) -> Message | None:
    role = str(row.get(mapping.role) or "").strip().casefold()
    if role in mapping.skipped_roles:
        return None
    if role not in (*mapping.customer_roles, *mapping.agent_roles):
        known = ", ".join((*mapping.customer_roles, *mapping.agent_roles))
        raise InputError(f"{where}, field {mapping.role}: {role!r} is no role; known: {known}.")
    text = row.get(mapping.text)
    if not isinstance(text, str):
        raise InputError(f"{where}, field {mapping.text}: is {'missing' if text is None else 'not a text'}.")
    said: Role = "customer" if role in mapping.customer_roles else "agent"
    return Message(said, text.strip(), _minutes(row.get(mapping.time), where, mapping), _flag(row, where, mapping))


def _minutes(value: Any, where: str, mapping: LogMapping) -> float | None:
    if value in (None, ""):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        return datetime.fromisoformat(str(value)).timestamp() / 60
    except ValueError as error:
        raise InputError(
            f"{where}, field {mapping.time}: {value!r} is neither minutes nor an ISO 8601 time."
        ) from error


def _flag(row: Mapping[str, Any], where: str, mapping: LogMapping) -> bool | None:
    value = row.get(mapping.accepted)
    if value in (None, ""):
        return None
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    said = str(value).strip().casefold()
    if said not in known:
        raise InputError(f"{where}, field {mapping.accepted}: {value!r} is neither true nor false.")
    return known[said]


def _dialogue(
    name: str, messages: list[Message | None], row: Mapping[str, Any], where: str, mapping: LogMapping
) -> Dialogue:
    outcome = row.get(mapping.outcome) or None
    if outcome is not None and outcome not in _OUTCOMES:
        raise InputError(f"{where}, field {mapping.outcome}: {outcome!r}; known: {', '.join(_OUTCOMES)}.")
    csat = row.get(mapping.csat)
    rating: int | None = None
    if csat not in (None, ""):
        try:
            rating = int(float(str(csat)))
        except (ValueError, OverflowError):
            rating = 0
        if not 1 <= rating <= 5:
            raise InputError(f"{where}, field {mapping.csat}: {csat!r} is no rating from 1 to 5.")
    said = [message for message in messages if message is not None and message.text]
    if all(message.minutes is not None for message in said):
        said.sort(key=lambda message: message.minutes or 0.0)
    intent = row.get(mapping.intent) or None
    return Dialogue(name, tuple(said), outcome, rating, str(intent) if intent else None)
