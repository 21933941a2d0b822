"""Versions of tuned models: what they are called, what is known of them, and their folders on disk."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import InputError

PRODUCTION, CHALLENGER, PREVIOUS, LATEST = "production", "challenger", "previous", "latest"
KEPT_MOVES = 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ALIAS = re.compile(r"(?!v\d+$)[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class VersionInfo:
    """One registered version. ``path`` is None when its folder is not on this machine."""

    name: str
    version: int
    task: str | None
    method: str | None
    metrics: dict[str, Any]
    aliases: tuple[str, ...]
    path: Path | None
    card: Path | None
    created: datetime
    fingerprint: str | None
    run_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; times are ISO 8601 in UTC."""
        return {
            **asdict(self),
            "aliases": list(self.aliases),
            "path": None if self.path is None else str(self.path),
            "card": None if self.card is None else str(self.card),
            "created": self.created.isoformat(),
        }


@dataclass(frozen=True)
class Move:
    """One change of a model's aliases; ``aliases`` is the whole map afterwards.

    A move is committed when it is written (one database transaction) and ``applied`` once MLflow's own
    aliases follow it; a reader that meets an unapplied move takes the aliases from the move.
    """

    at: str
    action: str
    version: int
    aliases: dict[str, int]
    applied: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def done(self) -> "Move":
        """The same move, marked as applied."""
        return replace(self, applied=True)


@dataclass(frozen=True)
class ModelInfo:
    """A registered name: its versions (newest first), its aliases, and the latest moves (oldest first)."""

    name: str
    aliases: dict[str, int]
    versions: tuple[VersionInfo, ...]
    history: tuple[Move, ...]

    @property
    def latest(self) -> int:
        """The highest version number."""
        return self.versions[0].version

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "latest": self.latest,
            "aliases": self.aliases,
            "versions": [v.to_dict() for v in self.versions],
            "history": [m.to_dict() for m in self.history],
        }


@dataclass(frozen=True)
class Reference:
    """``name``, ``name@alias``, ``name:3`` or ``name@3``, taken apart."""

    name: str
    alias: str | None = None
    version: int | None = None


def parse_reference(text: str) -> Reference:
    """Take a reference apart. Raises InputError when it cannot be one."""
    separator = next((c for c in text if c in "@:"), "")
    name, _, rest = text.partition(separator) if separator else (text, "", "")
    number = rest.isascii() and rest.isdigit()
    if not _NAME.fullmatch(name) or (separator and not number and not _ALIAS.fullmatch(rest)):
        raise InputError(
            f"{text!r} names no model; write a folder, name, name@alias or name:version, "
            "for example intents@production."
        )
    if not separator:
        return Reference(name)
    if number:
        # int() of thousands of digits is refused by Python; no registry has that many versions.
        return Reference(name, version=int(rest[:18]))
    return Reference(name, alias=rest)


def check_name(name: str) -> None:
    """Raise InputError unless ``name`` can be a model's name (it becomes a folder name too)."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"model name {name!r} is not valid; use up to 64 lower-case letters, digits, dots, dashes and "
            "underscores, starting with a letter or digit."
        )


def check_alias(alias: str) -> None:
    """Raise InputError unless ``alias`` can be moved by hand."""
    if alias in (PREVIOUS, LATEST):
        raise InputError(f"alias {alias!r} is kept by the registry itself; choose another name.")
    if not _ALIAS.fullmatch(alias):
        raise InputError(
            f"alias {alias!r} is not valid; use lower-case letters, digits, dashes and underscores, starting "
            "with a letter and not of the form v3."
        )


def parse_moves(text: str | None) -> tuple[Move, ...]:
    """Read the stored moves, oldest first."""
    return tuple(Move(**move) for move in json.loads(text or "[]"))


def dump_moves(moves: tuple[Move, ...]) -> str:
    """The newest moves as compact JSON."""
    return json.dumps([m.to_dict() for m in moves[-KEPT_MOVES:]], separators=(",", ":"))


def mlflow_key(name: str) -> str:
    """A metric's name in the characters MLflow allows: ``mrr@10`` becomes ``mrr_at_10``."""
    return re.sub(r"[^\w\-. /]", "_", name.replace("@", "_at_"))


def metric_values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among metrics: plain ones, and the ``value`` of those with an interval."""
    values = {k: v.get("value") if isinstance(v, Mapping) else v for k, v in metrics.items()}
    numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {k: v for k, v in numbers.items() if math.isfinite(v)}


def to_json(value: Any) -> str:
    """Strict JSON: NaN and infinity become null, numpy scalars plain numbers, anything else its text."""
    return json.dumps(_finite(value), allow_nan=False, default=str, ensure_ascii=False)


def from_json(text: str | None) -> dict[str, Any]:
    """What ``to_json`` wrote; empty when there is nothing."""
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str):
        return _finite(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
