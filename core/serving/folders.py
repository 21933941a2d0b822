"""Folders of registered versions: copied whole, named last, removed out of sight."""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.serving.versions import to_json

MARKER = "registration.json"  # inside a version's folder: proves which registration the folder belongs to
_INCOMING, _TRASH = ".incoming-", ".trash-"


def looks_like_path(reference: str) -> bool:
    """Whether a reference is meant as a folder; a bare word only when that folder holds a tuned model."""
    if reference.startswith(("~", ".")) or "/" in reference or os.sep in reference:
        return True
    return any(Path(reference, name).is_file() for name in ("recipe.toml", "labels.json", MARKER))


def check(folder: Path, home: Path) -> None:
    """Raise InputError unless ``folder`` can be copied into ``home``."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; register the folder of a tuned model.")
    if not any(folder.iterdir()):
        raise InputError(f"{folder} is empty; register the folder of a tuned model.")
    if home.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder} contains the registry's folder {home}; register the folder of one model.")


def copy_in(folder: Path, home: Path, marker: Mapping[str, Any], recipe_toml: str) -> Path:
    """Copy a model folder to a hidden sibling of the versions in ``home`` and force it to the disk.

    The copy gets ``registration.json`` (``marker``) and, if the folder has none, ``recipe.toml``; links are
    replaced by what they point to. Returns the copy, to be renamed by ``put_in_place``.
    """
    check(folder, home)
    copy = home / f"{_INCOMING}{uuid.uuid4().hex}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(MARKER))
        (copy / MARKER).write_text(to_json(dict(marker)), encoding="utf-8")
        if not (copy / "recipe.toml").exists():
            (copy / "recipe.toml").write_text(recipe_toml, encoding="utf-8")
        for place, _, names in os.walk(copy):
            for name in names:
                sync(Path(place, name))
            sync(Path(place))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise InputError(
            f"{folder} could not be copied to {home} ({_reason(error)}); free space or mend the permissions, "
            "then register again."
        ) from error
    return copy


def put_in_place(copy: Path, target: Path) -> None:
    """Rename a finished copy to its version number and force the new name to the disk."""
    copy.rename(target)
    sync(target.parent)


def remove(folder: Path) -> None:
    """Delete a folder; it is renamed first, so that nobody sees it half deleted."""
    trash = folder.with_name(f"{_TRASH}{uuid.uuid4().hex}")
    try:
        folder.rename(trash)
    except FileNotFoundError:
        return
    shutil.rmtree(trash, ignore_errors=True)


def sweep(home: Path) -> None:
    """Delete what killed registrations left in ``home``; only for the holder of the registration lock."""
    for leftover in [*home.glob(f"{_INCOMING}*"), *home.glob(f"{_TRASH}*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def belongs(folder: Path, identity: str | None) -> bool:
    """Whether a folder is the one of the registration ``identity``, not of another registry's same number."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("id") == identity


def sync(path: Path) -> None:
    """Have a file or folder on the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    # copytree collects everything that went wrong; the first reason is the one to act on.
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        return str(error.args[0][0][2])
    return error.strerror or str(error)
