"""Backbones that need converting: done once, kept in the cache, atomic and safe between processes."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.errors import InputError
from core.models import weights
from core.models.catalog import Backbone
from core.settings import get_settings

RECEIPT = "source.json"
REVISION = 1  # raise it when a converter changes what it writes: older copies are then made again

Converter = Callable[[Path], None]


def location(backbone: Backbone) -> Path:
    """Where the converted copy lies, or will lie."""
    return get_settings().cache / "backbones" / f"{backbone.name}-{backbone.weights_sha256[:8]}"


def existing(backbone: Backbone) -> Path | None:
    """The converted copy, if it is there, whole, and made from these weights by this converter."""
    folder = location(backbone)
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        files = weights.find(folder)
        sound = bool(files) and all(weights.shapes(path) for path in files)
    except (OSError, ValueError, InputError):
        return None
    return folder if sound and receipt == _receipt(backbone) else None


def convert_once(backbone: Backbone, convert: Converter) -> Path:
    """Return the converted copy, calling ``convert(empty_folder)`` when there is none yet.

    Processes wait for each other; a killed conversion leaves only a hidden folder that the next one removes.
    """
    from filelock import FileLock

    target = location(backbone)
    parent = target.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / f".{target.name}.lock"):
            return existing(backbone) or _convert(backbone, convert, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{target}: the {backbone.name} backbone could not be written there ({reason}); "
            "free some disk space or set HEADWATER_VAR to a folder that can be written."
        ) from error


def _convert(backbone: Backbone, convert: Converter, target: Path) -> Path:
    prefix = f".{target.name}.tmp-"
    for stale in target.parent.glob(f"{prefix}*"):  # the lock is ours, so whoever made these is gone
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        made = temporary / "backbone"  # mkdtemp is private to the user; a fresh folder has usual permissions
        made.mkdir()
        convert(made)
        (made / RECEIPT).write_text(json.dumps(_receipt(backbone)), encoding="utf-8")
        if target.exists():
            target.rename(temporary / "replaced")
        made.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _receipt(backbone: Backbone) -> dict[str, str | int]:
    sources = hashlib.sha256("\n".join(backbone.files).encode()).hexdigest()[:8]
    return {"weights_sha256": backbone.weights_sha256, "files": sources, "revision": REVISION}
