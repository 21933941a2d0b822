"""MovieLens-100k with plots, the hybrid beside its baselines: ``python -m benchmarks.recommend``.

Protocol: ratings of 4 stars and up are events; the last 20% of each user (rounded down) are held out; every item of
the catalogue is ranked, without those the user has in train. Whatever has to be chosen or fitted is so on the last
20% of each *training* history. ``--ablation`` adds the hybrid without one source at a time, ``--speed`` the timings.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.recommend_data import Data, judge, load, say
from core.settings import get_settings
from verticals.recommend import evaluation
from verticals.recommend.candidates import Source
from verticals.recommend.ease import fit_ease
from verticals.recommend.evaluation import make_bench
from verticals.recommend.histories import Histories, hold_out
from verticals.recommend.hybrid import HybridConfig, fit_hybrid, standard_sources
from verticals.recommend.item_knn import fit_item_knn
from verticals.recommend.popularity import fit_popular
from verticals.recommend.taste import Attention, TextTaste, centred, normalised

FILE = store.RESULTS / "recommend.json"
EASE_L2 = (50.0, 100.0, 200.0, 500.0)
STATED_L2 = 200.0  # with which the stated baseline is reproduced
NEIGHBOURS = (20, 50, 100, 200)


def choose(data: Data, out: Path) -> dict[str, float]:
    """The baselines' dials, chosen on the end of the training histories; found again when they were chosen before."""
    key = store.key_of(EASE_L2, NEIGHBOURS, data.split)

    def measured() -> dict[str, Any]:
        l2 = _choose("EASE l2", EASE_L2, data, lambda part, l2: fit_ease(part, l2))
        return {"l2": l2, "k": _choose("item-kNN k", NEIGHBOURS, data, lambda part, k: fit_item_knn(part, int(k)))}

    store.part(out, "chosen", key, measured)
    return dict(store.read(out)["parts"]["chosen"])


def measure(data: Data, resamples: int, out: Path) -> dict[str, Any]:
    """Every system in one run, and the hybrid against EASE on the same users."""
    bench = make_bench(data.train, data.later, centred(data.vectors))
    dials = choose(data, out)
    chosen_ease, chosen_k = dials["l2"], dials["k"]
    plain = Attention(recency=replace(Attention().recency, half_life=1e9), temperature=1e9, recent=10**6)
    started = time.perf_counter()
    hybrid = fit_hybrid(data.items, data.train, data.vectors, HybridConfig(ease_l2=chosen_ease))
    seconds = time.perf_counter() - started
    systems: list[Source] = [
        fit_popular(data.train),
        fit_item_knn(data.train, int(chosen_k)),
        replace(fit_item_knn(data.train, len(data.items)), name="item-knn, all neighbours"),
        fit_ease(data.train, chosen_ease),
        replace(fit_ease(data.train, STATED_L2), name=f"ease, l2 {STATED_L2:g}"),
        TextTaste(normalised(data.vectors), attention=plain, name="untuned text"),
        TextTaste(centred(data.vectors), attention=plain, name="untuned text, centred"),
        replace(hybrid, ranker=None, name="blend"),
        hybrid,
    ]
    judged = {system.name: judge(bench, system, resamples) for system in systems}
    against = {name: judged[name] for name in ("ease", f"ease, l2 {STATED_L2:g}", "blend")}
    return {
        **evaluation.report(data.split, list(judged.values())),
        "chosen": {"ease_l2": chosen_ease, "item_knn_k": chosen_k},
        "hybrid": {
            "fit_seconds": round(seconds, 1),
            "weights": hybrid.blend.to_dict(),
            "importance": hybrid.ranker.importance() if hybrid.ranker else {},
        },
        "against": {
            name: {
                "ndcg@10_ratio": evaluation.ratio(judged["hybrid"], other, resamples=resamples).to_dict(),
                "ndcg@10": evaluation.compare(judged["hybrid"], other, resamples=resamples).to_dict(),
                "recall@20": evaluation.compare(judged["hybrid"], other, "recall@20", resamples).to_dict(),
            }
            for name, other in against.items()
        },
        "cohorts": {name: evaluation.by_history(bench, judged[name]) for name in ("ease", "hybrid")},
    }


def ablation(data: Data, resamples: int) -> dict[str, Any]:
    """The hybrid without one source at a time."""
    bench = make_bench(data.train, data.later, centred(data.vectors))
    names = [source.name for source in standard_sources(data.items, data.vectors, data.train)]
    groups = {
        "recency": ("recent ease", "latest ease"),
        "order": ("transitions", "neighbours in time"),
        **{name: (name,) for name in names if name in ("item-knn", "trending", "popular", "text", "ease")},
    }
    found = {}
    for name, without in groups.items():
        hybrid = fit_hybrid(data.items, data.train, data.vectors, HybridConfig(without=without))
        found[f"without {name}"] = judge(bench, replace(hybrid, name=f"without {name}"), resamples).to_dict()
    return {"systems": found}


def _choose(what: str, values: Sequence[float], data: Data, fit: Callable[[Histories, float], Source]) -> float:
    """The value with the best nDCG@10 on the end of the training histories."""
    earlier, later = hold_out(data.train)
    bench = make_bench(earlier, later)
    found = {value: bench.judge(fit(earlier, value), resamples=0).values["ndcg@10"].value for value in values}
    say(f"{what}: " + ", ".join(f"{value:g} {score:.4f}" for value, score in found.items()))
    return max(found, key=lambda value: found[value])


PARTS = ("quality", "text", "cold", "speed", "ablation", "encoder", "encoder-cold")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.recommend", description="MovieLens-100k.")
    made.add_argument("--part", action="append", choices=PARTS, help="only this part; several may be given")
    made.add_argument("--resamples", type=int, default=1000, help="of the bootstrap over users")
    made.add_argument("--out", type=Path, default=FILE, help="results file")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts and write each into the results file as soon as it is there."""
    options = parser().parse_args(arguments)
    settings = get_settings()
    if not (settings.datasets / "movielens100k").is_dir():
        say(f"{settings.datasets / 'movielens100k'}: there is no such folder; set HEADWATER_DATASETS.")
        return 2
    data = load(settings)
    for part in options.part or PARTS:
        store.write_part(options.out, part, {"key": part, **store.stamp(), **_part(part, data, options)})
    return 0


def _part(part: str, data: Data, options: argparse.Namespace) -> dict[str, Any]:
    if part == "quality":
        return measure(data, options.resamples, options.out)
    if part == "ablation":
        return ablation(data, options.resamples)
    if part == "speed":
        from benchmarks.recommend_speed import speed

        return speed(data)
    from benchmarks import recommend_text

    measured = {
        "text": recommend_text.text,
        "cold": recommend_text.cold,
        "encoder": recommend_text.encoder,
        "encoder-cold": recommend_text.encoder_cold,
    }
    return measured[part](data, get_settings(), options.resamples)


if __name__ == "__main__":
    sys.exit(main())
