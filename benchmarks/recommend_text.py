"""The text encoder tuned on MovieLens behaviour, and new items: ``python -m benchmarks.recommend --part text|cold``.

``text``: tuned on the training events of the protocol; ranks the full catalogue by text alone. ``cold``: a tenth of the
items (seeded) lose every training event, are in no pair, and are then found by text alone among all items that the
user has not had; beside random and the untuned encoder. Tuning goes on from its last checkpoint when it is stopped.
"""

from typing import Any

import numpy as np

from benchmarks.recommend_data import Data, judge, say
from core.settings import Settings
from verticals.recommend.evaluation import make_bench, ratio
from verticals.recommend.histories import Float32, Histories, Ints
from verticals.recommend.interests import PairDraw, draw_pairs, interest_recipe, tune_interests
from verticals.recommend.popularity import fit_popular
from verticals.recommend.taste import TextTaste, centred, normalised

COLD_SHARE = 0.1
# What was tried on the end of the training histories; see the README's table of attempts.
TUNED = {
    "method": "top-layers",
    "options.layers": 2,
    "training.epochs": 4,
    "training.learning_rate": 1e-3,
    "training.batch_size": 96,
    "training.max_length": 64,
    "training.temperature": 0.05,
    "training.keep": "last",
}
ROWS = 24_000


def tuned_vectors(data: Data, past: Histories, settings: Settings, name: str, rows: int = ROWS) -> tuple[Float32, Any]:
    """Tune on these histories, encode the catalogue; the vectors [n, d] and how it was tuned."""
    pairs = draw_pairs(data.items, past, draw=PairDraw(rows=rows))
    folder = settings.cache / "recommend" / f"pairs-{name}"
    recipe = interest_recipe(pairs, folder, overrides={"name": f"movielens-{name}", **TUNED})
    made = tune_interests(recipe, register=False, settings=settings)
    from core.serving.encoder import load_encoder

    vectors = np.asarray(load_encoder(made.path).encode(data.items.texts, passages=True), dtype=np.float32)
    told = {
        "rows": rows,
        "train_seconds": made.train_seconds,
        "trainable_parameters": made.trainable_parameters,
        "recipe": dict(TUNED),
    }
    return vectors, told


def text(data: Data, settings: Settings, resamples: int) -> dict[str, Any]:
    """Tuned text alone against popularity and untuned text, on the protocol's users."""
    vectors, told = tuned_vectors(data, data.train, settings, "text")
    np.save(settings.cache / "recommend" / "tuned-vectors.npy", vectors)
    bench = make_bench(data.train, data.later, centred(data.vectors))
    systems = [
        fit_popular(data.train),
        TextTaste(centred(data.vectors), name="untuned text, centred"),
        TextTaste(normalised(vectors), name="tuned text"),
        TextTaste(centred(vectors), name="tuned text, centred"),
    ]
    judged = {system.name: judge(bench, system, resamples) for system in systems}
    against = ratio(judged["tuned text"], judged["popular"], resamples=resamples)
    return {
        "systems": {name: one.to_dict() for name, one in judged.items()},
        "tuned_over_popularity": against.to_dict(),
        "tuning": told,
    }


def cold(data: Data, settings: Settings, resamples: int) -> dict[str, Any]:
    """Recall@20 of items without any event, by text alone, over that of a random order."""
    random = np.random.default_rng(0)
    n = len(data.items)
    new = np.sort(random.choice(n, int(COLD_SHARE * n), replace=False))
    known = without(data.train, new)
    relevant = [np.intersect1d(later, new) for later in data.later]
    vectors, told = tuned_vectors(data, known, settings, "cold", ROWS // 2)
    bench = make_bench(known, relevant, centred(data.vectors))
    systems = [
        Shuffled(random.random(n).astype(np.float32)),
        TextTaste(centred(data.vectors), name="untuned text, centred"),
        TextTaste(normalised(vectors), name="tuned text"),
        TextTaste(centred(vectors), name="tuned text, centred"),
    ]
    judged = {system.name: judge(bench, system, resamples) for system in systems}
    # A random order finds a relevant item in 20 of the places that are left with this chance, exactly.
    free = n - bench.histories.lengths
    exact = float(np.mean(20 / free))
    found = {name: one.values["recall@20"].value / exact for name, one in judged.items()}
    say(", ".join(f"{name}: {value:.1f} x random" for name, value in found.items()))
    return {
        "new_items": len(new),
        "users": len(bench.histories),
        "random_recall@20": exact,
        "systems": {name: one.to_dict() for name, one in judged.items()},
        "over_random": found,
        "tuning": told,
    }


def without(past: Histories, items: Ints) -> Histories:
    """These histories without any event of the given items."""
    kept = ~np.isin(past.items, items)
    starts = np.concatenate([[0], np.cumsum(np.bincount(past.rows[kept], minlength=len(past)))]).astype(np.int64)
    return Histories(starts, past.items[kept], past.times[kept], past.strengths[kept], past.n_items)


class Shuffled:
    """The same random order for everybody."""

    name = "random"

    def __init__(self, row: Float32) -> None:
        self.row = row

    def score(self, histories: Histories, candidates: Ints | None = None) -> Float32:
        """float32 [m, n] or [m, c]."""
        row = self.row if candidates is None else self.row[candidates]
        return np.broadcast_to(row, (len(histories), len(row)))
