"""Vectors that need not be made again: those of the version in use, or those that ship with the sample."""

from pathlib import Path

from core.errors import InputError
from verticals.recommend import saved
from verticals.recommend.vectors import ItemVectors, shipped


def known_vectors(home: Path, sample: Path, encoder: str) -> ItemVectors:
    """Vectors by ``encoder`` with all that is known of it already; only texts never seen will load it."""
    folder = saved.current(home)
    if folder is not None:
        try:
            before = saved.load(folder)
        except InputError:
            before = None  # a damaged version is no reason not to go on
        # A tuned model's folder is never written twice; a name with an alias may point elsewhere by now.
        if before is not None and before.encoder == encoder and "@" not in encoder:
            return ItemVectors(encoder, before.fingerprint, (before.hashes, before.vectors))
    return shipped(sample / "minilm.npz", encoder) or ItemVectors(encoder)
