"""Results on disk: written whole, and found again so that finished work is not repeated."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import stamp
from core.errors import InputError
from core.evaluation.files import dump_json, write_json

RESULTS = Path(__file__).resolve().parent / "results"


def key_of(*parts: Any) -> str:
    """A short SHA-256 of plain values: results with the same key answer the same question."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_files(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by file name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def read(path: Path) -> dict[str, Any]:
    """A results file; empty when there is none or it is no JSON object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def part(file: Path, name: str, key: str, measure: Callable[[], dict[str, Any]], fresh: bool = False) -> bool:
    """Measure the part ``name`` of ``file`` unless it is there with the same key; True when it was measured.

    Every part is written as soon as it is finished, so an interrupted benchmark goes on at the next one.
    """
    known = read(file).get("parts", {}).get(name)
    if known and known.get("key") == key and not fresh:
        return False
    write_part(file, name, {"key": key, **stamp(), **measure()})
    return True


def write_part(file: Path, name: str, result: dict[str, Any]) -> None:
    """Put one part into the file, beside the parts that are there."""
    values = read(file)
    values["parts"] = {**values.get("parts", {}), name: result}
    write_json(file, values)


def skip(file: Path, name: str, reason: str) -> None:
    """Note why a part could not be measured; a figure that was measured earlier stays."""
    if "date" not in read(file).get("parts", {}).get(name, {}):
        write_part(file, name, {"key": "skipped", "skipped": reason})


def attempt(file: Path, name: str, key: str, measure: Callable[[], dict[str, Any]], fresh: bool = False) -> None:
    """``part``, said on the terminal; what is missing (a data set, a peer) is noted as the reason for no figure."""
    try:
        if part(file, name, key, measure, fresh):
            print(name, file=sys.stderr, flush=True)
    except InputError as error:
        print(f"{name}: skipped: {error}", file=sys.stderr, flush=True)
        skip(file, name, str(error))


def write_new(path: Path, values: dict[str, Any]) -> None:
    """Write a result with date and machine, atomically."""
    write_json(path, {**stamp(), **values})


def public(values: Any, hidden: dict[str, str]) -> Any:
    """The same plain values with folders of this machine replaced, so that a result can be published."""
    text = dump_json({"values": values})
    for folder in sorted(hidden, key=len, reverse=True):
        if folder:
            text = text.replace(json.dumps(folder, ensure_ascii=False)[1:-1], hidden[folder])
    return json.loads(text)["values"]
