"""Past turns of a flywheel: one JSON file each, written beside and renamed, so that a killed turn leaves none half."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from core.settings import Settings

# "judged": the gate said yes and the promotion may or may not have happened; the next turn makes it sure.
Outcome = Literal["skipped", "judged", "promoted", "refused"]


@dataclass(frozen=True)
class Turn:
    """What came of one turn.

    ``champion`` and ``challenger`` are versions of ``model``; ``corrections`` counts those there were, ``trained_on``
    and ``held_out`` how they were used. ``reasons`` say in sentences why nothing was promoted; ``figures`` are the
    gate's. ``seen`` are the acts (``Correction.source``) of this turn, so that the next one knows which are new.
    """

    wheel: str
    model: str
    number: int
    outcome: Outcome
    started: datetime
    ended: datetime | None = None
    champion: int | None = None
    challenger: int | None = None
    corrections: int = 0
    trained_on: int = 0
    held_out: int = 0
    reasons: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    seen: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, times in ISO 8601; without ``seen``."""
        return {
            **{name: value for name, value in vars(self).items() if name != "seen"},
            "started": self.started.isoformat(),
            "ended": None if self.ended is None else self.ended.isoformat(),
            "reasons": list(self.reasons),
            "figures": dict(self.figures),
        }


class Turns:
    """The turns of one wheel, in ``var/flywheel/WHEEL/turns/NNNNN.json``."""

    def __init__(self, settings: Settings, wheel: str) -> None:
        """``wheel`` as ``VERTICAL.NAME``; nothing is made before the first turn is kept."""
        self.wheel = wheel
        self.home = settings.var / "flywheel" / wheel

    def all(self) -> list[Turn]:
        """Every turn, oldest first."""
        return [_read(path) for path in sorted((self.home / "turns").glob("[0-9]*.json"))]

    def last(self) -> Turn | None:
        """The newest turn."""
        paths = sorted((self.home / "turns").glob("[0-9]*.json"))
        return _read(paths[-1]) if paths else None

    def keep(self, turn: Turn) -> Turn:
        """Write a turn, over what was known of it."""
        path = self.home / "turns" / f"{turn.number:05d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        text = json.dumps({**turn.to_dict(), "seen": list(turn.seen)}, ensure_ascii=False, indent=1)
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
        return turn

    def finish(self, turn: Turn, outcome: Outcome, ended: datetime, *reasons: str) -> Turn:
        """The same turn with its outcome, kept."""
        return self.keep(replace(turn, outcome=outcome, ended=ended, reasons=(*turn.reasons, *reasons)))


def _read(path: Path) -> Turn:
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("started", "ended"):
        values[name] = values[name] and datetime.fromisoformat(values[name])
    for name in ("reasons", "seen"):
        values[name] = tuple(values[name])
    return Turn(**values)
