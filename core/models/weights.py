"""Weight files: which a folder has, whether they are whole, and their sha256, computed once."""

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.settings import get_settings

SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"


def find(folder: Path) -> list[Path]:
    """The weight files of a transformers folder, in order; empty when there are none.

    Raises InputError when an index names a shard that is not there.
    """
    for name in (SAFETENSORS, PICKLED):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
    return []


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes, without reading the tensors. Raises InputError when the file is damaged."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="np") as file:
                return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        import torch

        state = torch.load(path, map_location="meta", weights_only=True)
        return {key: tuple(value.shape) for key, value in state.items() if hasattr(value, "shape")}
    except Exception as error:  # each format and version has its own exceptions for a damaged file
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged or incomplete ({reason}); copy or download the model again.") from None


def count(files: list[Path]) -> int:
    """How many parameters the files hold; position indices, which older checkpoints store, are not ones."""
    every = (item for path in files for item in shapes(path).items())
    return sum(math.prod(shape) for key, shape in every if not key.endswith("position_ids"))


def sha256(files: list[Path]) -> str:
    """The digest of one file; of several, the digest over their names and digests.

    A digest is remembered with the file's size and time of change, so that later starts do not read it again.
    """
    if len(files) == 1:
        return _remembered(files[0])
    lines = [f"{_remembered(path)}  {path.name}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def known_sha256(path: Path) -> str | None:
    """The remembered digest of a file that has not changed since, or None."""
    entry = _memo().get(str(path.resolve()))
    return entry["sha256"] if isinstance(entry, dict) and entry.get("stamp") == _stamp(path) else None


def digest(path: Path) -> str:
    """The sha256 of one file, read now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, found: str, expected: str, reinstall: str) -> None:
    """Compare the digest found for a catalogue file with the published one.

    Raises InputError naming the file, both digests and the command that mends it.
    """
    if found != expected:
        raise InputError(
            f"{path} is not the published file: its sha256 is {found}, expected {expected}; "
            f"install it again with: {reinstall}"
        )


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{index} is not a valid index of weight files; copy the model again.") from None
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise InputError(f"{index} names {missing[0]}, which is not in the folder; copy the model again.")
    return [index.parent / name for name in names]


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _memo_path() -> Path:
    return get_settings().cache / "verified.json"


def _memo() -> dict[str, Any]:
    try:
        memo = json.loads(_memo_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _remembered(path: Path) -> str:
    known = known_sha256(path)
    if known is not None:
        return known
    stamp = _stamp(path)  # taken before reading: a change while reading then invalidates the entry
    found = digest(path)
    _remember({str(path.resolve()): {"stamp": stamp, "sha256": found}})
    return found


def _remember(entry: dict[str, Any]) -> None:
    target = _memo_path()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".verified-", dir=target.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({**_memo(), **entry}, file, indent=1)
        os.replace(temporary, target)
    except OSError:
        return  # a read-only or full disk only costs the next start a second look
