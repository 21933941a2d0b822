"""Text alone on MovieLens, and new items: ``python -m benchmarks.recommend --part text`` (cold, encoder, encoder-cold).

``text`` and ``cold`` fit what goes together to the untuned vectors in closed form, in seconds. ``encoder`` and
``encoder-cold`` tune the encoder itself on pairs of the training histories; tuning goes on from its last checkpoint
when it is stopped. Cold: a tenth of the items (seeded) lose every training event and are then found by text alone
among all items that the user has not had.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.recommend_data import Data, judge, say
from core.settings import Settings
from verticals.recommend.candidates import Source
from verticals.recommend.ease import fit_ease
from verticals.recommend.evaluation import make_bench, ratio
from verticals.recommend.histories import Float32, Histories, Ints, Recency, hold_out
from verticals.recommend.interests import PairDraw, draw_pairs, interest_recipe, tune_interests
from verticals.recommend.popularity import fit_popular
from verticals.recommend.taste import TextTaste, centred, normalised
from verticals.recommend.text_ease import TextEase, fit_text_ease

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
    """Text alone, fitted to behaviour in closed form (EASE seen through the texts), on the protocol's users."""
    unit = centred(data.vectors)
    l2, recency = _chosen(data, unit)
    bench = make_bench(data.train, data.later, unit)
    systems: list[Source] = [
        fit_popular(data.train),
        TextTaste(unit, name="untuned text, centred"),
        _fitted(data.train, unit, l2, None, "fitted text"),
        _fitted(data.train, unit, l2, recency, "fitted text, recent"),
    ]
    judged = {system.name: judge(bench, system, resamples) for system in systems}
    best = judged["fitted text, recent"]
    return {
        "systems": {name: one.to_dict() for name, one in judged.items()},
        "fitted_over_popularity": ratio(best, judged["popular"], resamples=resamples).to_dict(),
        "l2": l2,
    }


def cold(data: Data, settings: Settings, resamples: int) -> dict[str, Any]:
    """Recall@20 of items without any event, by text alone, over that of a random order of the whole catalogue."""
    new, known, relevant = _cold_split(data)
    unit = centred(data.vectors)
    l2, recency = _chosen(data, unit)
    systems: list[Source] = [
        TextTaste(unit, name="untuned text, centred"),
        _fitted(known, unit, l2, recency, "fitted text, recent"),
    ]
    return {"new_items": len(new), **_judged_cold(data, known, relevant, systems, resamples)}


def encoder(data: Data, settings: Settings, resamples: int) -> dict[str, Any]:
    """The encoder itself tuned on the pairs of the training histories: text alone, and new items."""
    vectors, told = tuned_vectors(data, data.train, settings, "text")
    bench = make_bench(data.train, data.later, centred(data.vectors))
    systems: list[Source] = [
        fit_popular(data.train),
        TextTaste(centred(data.vectors), name="untuned text, centred"),
        TextTaste(normalised(vectors), name="tuned encoder"),
        _fitted(data.train, centred(vectors), 10.0, Recency(0.5, "share"), "tuned encoder, fitted text"),
    ]
    judged = {system.name: judge(bench, system, resamples) for system in systems}
    return {
        "systems": {name: one.to_dict() for name, one in judged.items()},
        "tuned_over_popularity": ratio(judged["tuned encoder"], judged["popular"], resamples=resamples).to_dict(),
        "tuning": told,
    }


def encoder_cold(data: Data, settings: Settings, resamples: int) -> dict[str, Any]:
    """The encoder tuned without ever meeting the new items, which it then ranks among all others."""
    new, known, relevant = _cold_split(data)
    vectors, told = tuned_vectors(data, known, settings, "cold", ROWS // 2)
    systems: list[Source] = [
        TextTaste(centred(data.vectors), name="untuned text, centred"),
        TextTaste(normalised(vectors), name="tuned encoder"),
    ]
    return {"new_items": len(new), "tuning": told, **_judged_cold(data, known, relevant, systems, resamples)}


def _cold_split(data: Data) -> tuple[Ints, Histories, list[Ints]]:
    """A seeded tenth of the items, the training histories without them, and who turned to them later."""
    n = len(data.items)
    new = np.sort(np.random.default_rng(0).choice(n, int(COLD_SHARE * n), replace=False))
    return new, without(data.train, new), [np.intersect1d(later, new) for later in data.later]


def _judged_cold(
    data: Data, known: Histories, relevant: list[Ints], systems: Sequence[Source], resamples: int
) -> dict[str, Any]:
    bench = make_bench(known, relevant, centred(data.vectors))
    judged = {system.name: judge(bench, system, resamples) for system in systems}
    # A random order puts a relevant item among 20 places of what is left with exactly this chance.
    exact = float(np.mean(20 / (len(data.items) - bench.histories.lengths)))
    found = {name: one.values["recall@20"].value / exact for name, one in judged.items()}
    say(", ".join(f"{name}: {value:.1f} x random" for name, value in found.items()))
    return {
        "users": len(bench.histories),
        "random_recall@20": exact,
        "systems": {name: one.to_dict() for name, one in judged.items()},
        "over_random": found,
    }


def _fitted(past: Histories, unit: Float32, l2: float, recency: Recency | None, name: str) -> TextEase:
    return replace(fit_text_ease(past, unit, fit_ease(past, 200.0), l2, recency), name=name)


def _chosen(data: Data, unit: Float32) -> tuple[float, Recency]:
    """The ridge's weight with the best nDCG@10 on the end of the training histories."""
    earlier, later = hold_out(data.train)
    bench = make_bench(earlier, later)
    recency = Recency(0.5, "share")
    found = {
        l2: bench.judge(_fitted(earlier, unit, l2, recency, "t"), resamples=0).values["ndcg@10"].value
        for l2 in (1.0, 10.0, 100.0)
    }
    say("fitted text l2: " + ", ".join(f"{l2:g} {value:.4f}" for l2, value in found.items()))
    return max(found, key=lambda l2: found[l2]), recency


def without(past: Histories, items: Ints) -> Histories:
    """These histories without any event of the given items."""
    kept = ~np.isin(past.items, items)
    starts = np.concatenate([[0], np.cumsum(np.bincount(past.rows[kept], minlength=len(past)))]).astype(np.int64)
    return Histories(starts, past.items[kept], past.times[kept], past.strengths[kept], past.n_items)
