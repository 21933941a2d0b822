"""Uploaded tables of labelled text: kept by what they hold, looked at, and turned into a recipe."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.load import load
from core.data.plain import column_names
from core.data.sources import Source
from core.errors import InputError
from core.evaluation.files import write_bytes
from core.settings import Settings
from core.tuning.recipe import Recipe

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MAX_BYTES = 100 * 1024**2


@dataclass(frozen=True)
class Report:
    """What is in a table: rows of each part after the checks, examples of each label, and what was found."""

    rows: dict[str, int]
    labels: dict[str, int]
    findings: list[dict[str, Any]]


def keep(name: str, content: bytes, settings: Settings) -> Path:
    """Keep an upload under ``var/studio``; the same content again is the same file. Raises InputError."""
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{name}: a table of labelled text ends in {', '.join(SUFFIXES)}.")
    if not content:
        raise InputError(f"{name} is empty; upload a table with a header and rows.")
    if len(content) > MAX_BYTES:
        raise InputError(f"{name} has {len(content) / 1024**2:,.0f} MB; at most {MAX_BYTES // 1024**2} MB are taken.")
    stem = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:40] or "table"
    path = settings.var / "studio" / "data" / f"{stem}-{hashlib.sha256(content).hexdigest()[:12]}{suffix}"
    if not path.is_file():
        write_bytes(path, content)
    return path


def uploads(settings: Settings) -> list[Path]:
    """What was kept, the latest first."""
    found = (settings.var / "studio" / "data").glob("*-*.*")
    return sorted((p for p in found if p.suffix in SUFFIXES), key=lambda p: (p.stat().st_mtime, p.name), reverse=True)


def guess_columns(path: Path) -> tuple[list[str], str, str]:
    """All columns, and which are likely the text and the label by their names; the first and the last otherwise.

    Raises InputError for a table with fewer than two columns.
    """
    names = column_names(Source(path=path))
    if len(names) < 2:
        raise InputError(f"{path.name} has {len(names)} columns; it needs one with texts and one with labels.")

    def likely(words: tuple[str, ...], otherwise: str) -> str:
        return next((name for word in words for name in names if word in name.casefold()), otherwise)

    text = likely(("text", "sentence", "title", "question", "message", "headline"), names[0])
    label = likely(("label", "category", "intent", "sentiment", "class", "topic"), names[-1])
    return names, text, label if label != text else next(name for name in names if name != text)


def recipe(name: str, path: Path, text: str, label: str) -> Recipe:
    """Classification of ``text`` into ``label``, a fifth held out as the test. Raises InputError."""
    values = {
        "name": name,
        "task": "classification",
        "data": {"train": {"path": str(path.resolve())}, "test": 0.2, "text": text, "label": label},
    }
    return Recipe.parse(values, where="studio")


def report(wanted: Recipe) -> Report:
    """Read and check the data as a tuning would. Raises InputError for data that nothing can be tuned on."""
    data = load(wanted.data, wanted.task, wanted.training.seed)
    counts = data.train["label"].value_counts()
    found = data.to_dict()
    rows = {name: n for name, n in found["rows"].items() if n is not None}
    return Report(rows, {str(name): int(n) for name, n in counts.items()}, found["findings"])
