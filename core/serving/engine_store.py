"""Exported engines on disk: built once whoever asks first, kept under the cache, trusted only when whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.models import weights
from core.serving.folders import sync
from core.serving.network import Network
from core.settings import get_settings

RECEIPT = "engine.json"
ENCLOSED = "engines"  # inside an exported model's own folder
REVISION = 1  # raise it when what is written changes: older exports are then made again

# Fills an empty folder; returns what the receipt is to say beyond the files' digests.
Write = Callable[[Path], dict[str, Any]]


def location(network: Network, engine: str) -> Path:
    """Where the network's export lies in the cache, or will lie."""
    return get_settings().cache / "engines" / f"{network.fingerprint}-{engine}"


def find(network: Network, engine: str) -> Path | None:
    """A whole export of this very network: the one enclosed in the model's folder, else the cached one."""
    enclosed = network.folder / ENCLOSED / engine
    return next((place for place in (enclosed, location(network, engine)) if whole(place, network, engine)), None)


def whole(folder: Path, network: Network, engine: str) -> bool:
    """Whether ``folder`` holds a finished, undamaged export of this network by this version of the exporter."""
    try:
        told = receipt(folder)
        return (
            told["revision"] == REVISION
            and told["engine"] == engine
            and told["fingerprint"] == network.fingerprint
            and all(weights.sha256([folder / name]) == digest for name, digest in told["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def receipt(folder: Path) -> dict[str, Any]:
    """What was written about an export; raises OSError or ValueError when there is none."""
    return dict(json.loads((folder / RECEIPT).read_text(encoding="utf-8")))


def build_once(network: Network, engine: str, write: Write) -> Path:
    """The network's export in the cache, made by ``write(empty_folder)`` when there is none yet.

    Processes that ask at the same time wait for the first and take its result. A killed build leaves only a
    hidden folder that the next one removes. Raises InputError when the disk is full or cannot be written.
    """
    from filelock import FileLock

    target = location(network, engine)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            if not whole(target, network, engine):
                _build(network, engine, write, target)
    except OSError as error:
        raise InputError(
            f"{target}: the {engine} export could not be written there ({error.strerror or error}); "
            "free some disk space or set HEADWATER_VAR to a folder that can be written."
        ) from error
    return target


def enclose(source: Path, network: Network, target: Path) -> None:
    """Copy an export into another model's folder, as an export of that ``network`` (the same weights, merged)."""
    shutil.copytree(source, target)
    told = {**receipt(source), "fingerprint": network.fingerprint}
    (target / RECEIPT).write_text(json.dumps(told, indent=1), encoding="utf-8")


def _build(network: Network, engine: str, write: Write, target: Path) -> None:
    prefix = f".{target.name}.tmp-"
    for stale in target.parent.glob(f"{prefix}*"):  # the lock is ours, so whoever made these is gone
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        made = temporary / "engine"  # mkdtemp is private to the user; a fresh folder has usual permissions
        made.mkdir()
        told = write(made)
        files = {}
        for path in sorted(made.iterdir()):
            sync(path)
            files[path.name] = weights.digest(path)
        about = {
            "revision": REVISION,
            "engine": engine,
            "name": network.name,
            "fingerprint": network.fingerprint,
            "output": network.output,
            "width": network.width,
            **told,
            "files": files,
        }
        (made / RECEIPT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        sync(made / RECEIPT)
        if target.exists():
            os.rename(target, temporary / "replaced")
        os.rename(made, target)
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
