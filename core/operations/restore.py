"""Put back what ``core.operations.backup`` saved: every file is checked, and all appear at once or none."""

import hashlib
import json
import os
import shutil
import uuid
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from core.errors import InputError
from core.operations.archives import ending_of, reading, told_apart
from core.operations.backup import MANIFEST, VERSION, Backup
from core.serving.folders import sync

_BLOCK = 1 << 20


def restore(file: Path, folder: Path) -> Backup:
    """Unpack an archive into ``folder``, which must be missing or empty. All files appear at once, checked.

    Raises InputError when the archive is damaged, is none of ours, or the folder holds something.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; name an archive made by headwater backup.")
    kind = ending_of(file)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder; restore into a new one, then point HEADWATER_VAR to it.")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; make it first.")
    partial = folder.absolute().with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.part")
    partial.mkdir(mode=0o700)
    try:
        found = _unpack(file, kind, partial)
        for place, _, names in os.walk(partial):
            for name in names:
                sync(Path(place, name))
            sync(Path(place))
        os.rename(partial, folder)  # over an empty folder, which POSIX allows
        sync(folder.absolute().parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    total = sum(entry["bytes"] for entry in found["files"].values())
    created = datetime.fromisoformat(found["created"])
    return Backup(file, created, len(found["files"]), total, tuple(found["databases"]), tuple(found["elsewhere"]))


def _unpack(file: Path, kind: str, target: Path) -> dict[str, Any]:
    """Write the members below ``target`` and check them against the manifest, which is returned."""
    hashes: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] | None = None
    with told_apart(file), reading(file, kind) as archive:
        for member in archive:
            source = archive.extractfile(member)
            if member.name == MANIFEST and source is not None:
                manifest = json.loads(source.read())
                continue
            place = _inside(member.name, target)
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            if source is None:
                raise InputError(f"{file}: {member.name} is neither a file nor a folder; nothing was restored.")
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as out:
                size, digest = _copied(source, out)
            os.chmod(place, member.mode & 0o777)
            hashes[member.name.removeprefix("var/")] = {"bytes": size, "sha256": digest}
    if manifest is None or manifest.get("version") != VERSION:
        raise InputError(f"{file} is damaged or was not made by headwater backup (no manifest of this version).")
    wanted: dict[str, Any] = manifest["files"]
    for name in sorted({*wanted, *hashes}):
        if wanted.get(name) != hashes.get(name):
            raise InputError(f"{file} is damaged: {name} is not what was saved; nothing was restored.")
    return manifest


def _inside(name: str, target: Path) -> Path:
    parts = Path(name).parts
    if not parts or parts[0] != "var" or ".." in parts or Path(name).is_absolute():
        raise InputError(f"an archive's member {name!r} lies outside its folder; nothing was restored.")
    return target.joinpath(*parts[1:])


def _copied(source: IO[bytes], out: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        out.write(block)
        size += len(block)
    return size, digest.hexdigest()
