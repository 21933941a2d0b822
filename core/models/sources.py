"""Where pre-trained weights come from: a catalogue name, a local folder or a hub id, offline first."""

import difflib
import importlib.util
import logging
import os
from pathlib import Path
from typing import Any

from core.errors import InputError, MissingExtra
from core.models import converted, hub, weights
from core.models.catalog import CATALOG, Backbone
from core.models.loading import load_decoder, load_encoder, load_masked_lm, load_tokenizer
from core.models.local import LocalBackbone, read_folder

__all__ = [
    "LocalBackbone",
    "describe",
    "load_decoder",
    "load_encoder",
    "load_masked_lm",
    "load_tokenizer",
    "resolve",
]

_log = logging.getLogger(__name__)


def resolve(name: str) -> LocalBackbone:
    """Find the weights that ``name`` means and return them as a standard transformers folder.

    ``name`` is a catalogue name, a folder (``./minilm`` for one called like a catalogue row) or a hub id.
    The first use of a catalogue row checks its sha256 and converts it where needed; later uses find it in the
    cache.
    Raises MissingExtra with the pip command, or InputError saying what is wrong and what to do.
    """
    if name in CATALOG:
        return _from_catalogue(CATALOG[name])
    if not name.strip():
        raise InputError("the backbone's name is empty; give a catalogue name, a folder or a hub id.")
    folder = Path(os.path.expanduser(name))
    if os.path.isdir(folder):  # unlike Path.is_dir, False for a name too long for the file system
        return read_folder(folder.resolve(), name)
    if os.path.exists(folder):
        raise InputError(f"{name} is a file; a backbone is the folder that holds config.json and the weights.")
    if name.startswith(("/", "./", "../", "~")) or not hub.is_id(name):
        raise InputError(f"backbone {name!r}: there is no such folder, and it is not {_catalogue_names(name)}")
    try:
        return read_folder(hub.fetch(name), name)
    except OSError as error:
        raise InputError(
            f"backbone {name!r} is neither a folder, nor a model that can be had from the hub ({error}), "
            f"nor {_catalogue_names(name)}"
        ) from None


def describe() -> list[dict[str, Any]]:
    """One row per catalogue backbone, for ``headwater backbones``.

    ``installed`` means that it can be loaded now without a download; ``verified`` that its sha256 has been
    checked on this machine and the file has not changed since.
    """
    return [_row(backbone) for backbone in CATALOG.values()]


def _row(backbone: Backbone) -> dict[str, Any]:
    copy = converted.existing(backbone) if backbone.layout != "folder" else None
    files = _locate(backbone)
    present = files is not None and all(path.is_file() for path in files)
    return {
        "name": backbone.name,
        "summary": backbone.summary,
        "kind": backbone.kind,
        "parameters": backbone.parameters,
        "size_mb": backbone.size_mb,
        "languages": list(backbone.languages),
        "max_length": backbone.max_length,
        "licence": backbone.licence,
        "installed": copy is not None or present,
        "install": backbone.install,
        # A copy is only ever made from weights that passed the check.
        "verified": copy is not None
        or (files is not None and present and weights.known_sha256(files[0]) == backbone.weights_sha256),
    }


def _from_catalogue(backbone: Backbone) -> LocalBackbone:
    if backbone.layout == "folder":
        (file,) = _installed(backbone)
        weights.verify(file, weights.sha256([file]), backbone.weights_sha256, backbone.reinstall)
        folder = file.parent
    else:
        folder = converted.existing(backbone) or _converted(backbone)
    return LocalBackbone(backbone.name, folder, backbone, backbone.weights_sha256)


def _converted(backbone: Backbone) -> Path:
    files = _installed(backbone)
    _log.info("preparing %s, once; this takes up to a minute", backbone.name)

    def convert(folder: Path) -> None:
        _CONVERTERS[backbone.layout](backbone, files, folder)

    return converted.convert_once(backbone, convert)


def _join(backbone: Backbone, files: list[Path], folder: Path) -> None:
    from core.models.joined import join

    join(files, folder, backbone.reinstall)
    made = folder / weights.SAFETENSORS
    weights.verify(files[0].parent, weights.digest(made), backbone.weights_sha256, backbone.reinstall)


def _dequantise_e5(backbone: Backbone, files: list[Path], folder: Path) -> None:
    weights.verify(files[0], weights.sha256(files), backbone.weights_sha256, backbone.reinstall)
    from core.models import e5

    e5.convert(files[0], folder)


def _dequantise_gguf(backbone: Backbone, files: list[Path], folder: Path) -> None:
    weights.verify(files[0], weights.sha256(files), backbone.weights_sha256, backbone.reinstall)
    from core.models import gguf

    gguf.convert(files[0], folder, backbone.max_length)


_CONVERTERS = {"zip-parts": _join, "e5-q4": _dequantise_e5, "gguf": _dequantise_gguf}


def _installed(backbone: Backbone) -> list[Path]:
    files = _locate(backbone)
    if files is None:
        raise MissingExtra(f"backbone {backbone.name!r}", backbone.install)
    absent = next((path for path in files if not path.is_file()), None)
    if absent is not None:
        raise InputError(f"{absent} is missing from its package; install it again with: {backbone.reinstall}")
    return files


def _locate(backbone: Backbone) -> list[Path] | None:
    """The row's files in the installed packages, found without importing them; None when one is absent."""
    files = []
    for file in backbone.files:
        package, _, inside = file.partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return None
        files.append(Path(next(iter(spec.submodule_search_locations))) / inside)
    return files


def _catalogue_names(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), CATALOG, n=1, cutoff=0.6)
    suggestion = f"; did you mean {close[0]!r}?" if close else "."
    return f"a name of the catalogue ({', '.join(CATALOG)}){suggestion}"
