"""A trained recommender as a folder: arrays as npz, settings and curves as JSON; written aside, then renamed."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, load_npz, save_npz

from core.errors import InputError
from verticals.recommend.candidates import Source
from verticals.recommend.ease import Ease
from verticals.recommend.histories import Float32, Ints, Recency
from verticals.recommend.item_knn import ItemKnn
from verticals.recommend.probability import Probability
from verticals.recommend.ranking import Blend, LambdaMart
from verticals.recommend.text_ease import TextEase
from verticals.recommend.transitions import Transitions

FORMAT = 2  # 1: texts by their whole vectors
Curves = Mapping[str, Mapping[str, Probability]]


@dataclass(frozen=True)
class Saved:
    """What training found.

    ``item_ids`` are the items it knew, in their order; ``collaborative`` the sources whose weights were learnt;
    ``order`` names all sources of the blend. ``curves``: for the scores of the trees, the blend and the blend for
    users without a past, a probability for each kind of event. ``vectors`` [n, d] belong to ``hashes`` of the texts;
    the sources read them along ``directions`` [d, k].
    """

    version: int
    item_ids: tuple[str, ...]
    collaborative: tuple[Source, ...]
    order: tuple[str, ...]
    numeric: tuple[str, ...]
    blend: Blend
    cold: Blend
    ranker: LambdaMart | None
    shortlist: int
    curves: Curves
    encoder: str
    fingerprint: str
    hashes: tuple[str, ...]
    vectors: Float32
    directions: Float32
    told: dict[str, Any]


def save(model: Saved, home: Path) -> Path:
    """Write ``home/models/NNNN`` and let ``home/current`` name it; a killed run leaves the last one in place."""
    folder = home / "models" / f"{model.version:04d}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    described = []
    for number, source in enumerate(model.collaborative):
        described.append(_write_source(source, new / f"source-{number}"))
    np.save(new / "vectors.npy", model.vectors.astype(np.float32))
    np.save(new / "directions.npy", model.directions)
    if model.ranker is not None:
        (new / "ranker.txt").write_text(model.ranker.text, encoding="utf-8")
    values = {
        "format": FORMAT,
        "version": model.version,
        "item_ids": list(model.item_ids),
        "sources": described,
        "order": list(model.order),
        "numeric": list(model.numeric),
        "blend": model.blend.to_dict(),
        "cold": model.cold.to_dict(),
        "ranker": list(model.ranker.names) if model.ranker else None,
        "shortlist": model.shortlist,
        "curves": {where: {kind: curve.to_dict() for kind, curve in by.items()} for where, by in model.curves.items()},
        "encoder": model.encoder,
        "fingerprint": model.fingerprint,
        "hashes": list(model.hashes),
        "told": model.told,
    }
    (new / "model.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    pointer = home / "current"
    waiting = home / ".current.new"
    waiting.write_text(folder.name, encoding="utf-8")
    waiting.replace(pointer)
    return folder


def current(home: Path) -> Path | None:
    """The folder of the version in use, None before the first training."""
    try:
        folder = home / "models" / (home / "current").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder if (folder / "model.json").is_file() else None


def versions(home: Path) -> list[int]:
    """The versions that are there, oldest first."""
    return sorted(int(folder.name) for folder in (home / "models").glob("[0-9]*") if folder.name.isdigit())


def prune(home: Path, keep: int = 3) -> None:
    """Remove all but the last versions; the one in use always stays."""
    used = current(home)
    for version in versions(home)[:-keep]:
        folder = home / "models" / f"{version:04d}"
        if folder != used:
            shutil.rmtree(folder, ignore_errors=True)


def load(folder: Path) -> Saved:
    """Read a folder written by ``save``; raises InputError for one that is damaged or of another format."""
    try:
        values = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}")
        sources = [_read_source(how, folder / f"source-{n}") for n, how in enumerate(values["sources"])]
        ranker = None
        if values["ranker"]:
            ranker = LambdaMart(tuple(values["ranker"]), (folder / "ranker.txt").read_text(encoding="utf-8"))
        return Saved(
            version=int(values["version"]),
            item_ids=tuple(values["item_ids"]),
            collaborative=tuple(sources),
            order=tuple(values["order"]),
            numeric=tuple(values["numeric"]),
            blend=_blend(values["blend"]),
            cold=_blend(values["cold"]),
            ranker=ranker,
            shortlist=int(values["shortlist"]),
            curves={w: {k: Probability.from_dict(c) for k, c in by.items()} for w, by in values["curves"].items()},
            encoder=values["encoder"],
            fingerprint=values["fingerprint"],
            hashes=tuple(values["hashes"]),
            vectors=np.load(folder / "vectors.npy", mmap_mode="r"),
            directions=np.load(folder / "directions.npy"),
            told=values["told"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no recommender that can be read ({error}); train again.") from None


def grown(source: Source, n: int, vectors: Float32) -> Source:
    """A learnt source for a catalogue that has n items now; new ones score 0 where behaviour is all that counts.

    ``vectors`` [n, k] are those of ``TextTaste``.
    """
    if isinstance(source, TextEase):
        return source.over(vectors)
    if isinstance(source, Ease):
        return replace(source, n_items=n)
    name = "similarities" if isinstance(source, ItemKnn) else "weights"
    matrix = getattr(source, name)
    if matrix.shape[0] == n:
        return source
    matrix = csr_array(matrix, copy=True)
    matrix.resize((n, n))
    return replace(source, **{name: matrix})  # type: ignore[type-var]


def _blend(weights: Mapping[str, float]) -> Blend:
    return Blend(tuple(weights), tuple(float(weight) for weight in weights.values()))


def _write_source(source: Any, stem: Path) -> dict[str, Any]:
    recency = source.recency
    told = {
        "name": source.name,
        "recency": None if recency is None else {"half_life": recency.half_life, "unit": recency.unit},
    }
    if isinstance(source, Ease):
        np.savez(stem.with_suffix(".npz"), weights=source.weights, active=source.active)
        return {**told, "kind": "ease", "n": source.n_items}
    if isinstance(source, TextEase):
        np.savez(stem.with_suffix(".npz"), middle=source.middle)
        return {**told, "kind": "text-ease"}
    if isinstance(source, ItemKnn):
        save_npz(stem.with_suffix(".npz"), csr_array(source.similarities))
        return {**told, "kind": "item-knn"}
    if isinstance(source, Transitions):
        save_npz(stem.with_suffix(".npz"), csr_array(source.weights))
        return {**told, "kind": "transitions"}
    raise TypeError(f"a source of kind {type(source).__name__} cannot be saved")


def _read_source(told: Mapping[str, Any], stem: Path) -> Source:
    recency = Recency(**told["recency"]) if told["recency"] else None
    path, name = stem.with_suffix(".npz"), told["name"]
    if told["kind"] == "ease":
        with np.load(path) as arrays:
            active: Ints = arrays["active"]
            return Ease(np.ascontiguousarray(arrays["weights"]), active, int(told["n"]), recency, name)
    if told["kind"] == "text-ease":
        with np.load(path) as arrays:
            middle: Float32 = arrays["middle"]
            return TextEase(np.empty((0, len(middle)), np.float32), middle, recency, name)  # ``grown`` fills it
    matrix = csr_array(load_npz(path))
    if told["kind"] == "item-knn":
        return ItemKnn(matrix, recency, name)
    return Transitions(matrix, recency or Recency(5, "events"), name)
