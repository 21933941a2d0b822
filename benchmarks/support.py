"""The support bot measured: scope, retrieval, and a reply's latency beside peers: ``python -m benchmarks.support``.

Parts: ``bot`` (BANKING77's test questions and CLINC150's out-of-scope ones), ``intents`` (the row CLINC150 of
``benchmarks.quality``), ``retrieval`` (StackFAQ, BankFAQs and CLINC150's intents by words, by meaning, by both, and by
the peers' pipelines), ``tuned`` (the FAQs with a matching model tuned on other folds), ``latency`` (10,000 passages,
the peers taking turns). A finished part is not measured again.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import quality, store
from benchmarks.search_data import Backbone, Cached
from benchmarks.search_quality import bankfaqs, clinc_intents, measure, stackfaq
from benchmarks.support_latency import latency
from benchmarks.support_peers import ranked_by_peers
from core.settings import get_settings

REPLIES = 200
PARTS = ("bot", "intents", "retrieval", "tuned", "latency")


def bot(datasets: Path, first: int | None) -> dict[str, Any]:
    """What ``headwater support evaluate`` prints, on an index of the shipped knowledge."""
    from verticals.support.bot import Bot
    from verticals.support.evaluation import evaluate_shipped
    from verticals.support.opening import ingest_paths
    from verticals.support.settings import SupportSettings

    settings = SupportSettings(index=get_settings().cache / "support-bench-index")
    ingest_paths([settings.knowledge], settings)
    return evaluate_shipped(Bot.open(settings), datasets, first)


def run(arguments: argparse.Namespace) -> None:
    """Measure the parts that are missing."""
    settings, file, fresh = get_settings(), arguments.out, arguments.fresh
    folder, datasets = settings.cache / "support", settings.datasets
    needed = {
        "stackfaq": datasets / "stackfaq" / "stackExchange-FAQ.json",
        "bankfaqs": datasets / "bankfaqs" / "BankFAQs.csv",
        "banking77": datasets / "banking77" / "test.csv",
        "clinc150": datasets / "clinc150" / "data_full.json",
    }
    gone = [name for name, path in needed.items() if not path.is_file()]
    if gone:
        for part in arguments.parts:
            store.skip(file, part, f"{', '.join(gone)}: not in the data sets folder")
        return
    measured: Mapping[str, Callable[[], object]] = {
        "bot": lambda: _part(
            file, "bot", ["bot 1", arguments.first], partial(bot, datasets, arguments.first or None), fresh
        ),
        "intents": lambda: quality.main(["--only", "clinc150", *(["--fresh"] if fresh else [])]),
        "retrieval": lambda: _retrieval(file, needed, settings.cache / "search", fresh),
        "latency": lambda: _part(
            file,
            "latency",
            ["latency 1", arguments.replies],
            partial(latency, folder, datasets, arguments.replies),
            fresh,
        ),
        "tuned": lambda: _tuned(file, needed, fresh),
    }
    for part in arguments.parts:
        measured[part]()


def _part(file: Path, name: str, key: list[Any], measure: Callable[[], dict[str, Any]], fresh: bool) -> None:
    store.part(file, name, store.key_of(*key), measure, fresh)


def _retrieval(file: Path, needed: Mapping[str, Path], cache: Path, fresh: bool) -> None:
    from core.models.sources import resolve

    encoder, model = Cached(Backbone("minilm"), cache, {}), resolve("minilm").path
    collections = (
        *stackfaq(needed["stackfaq"]),
        *bankfaqs(needed["bankfaqs"]),
        clinc_intents(needed["clinc150"]),
    )
    for collection in collections:
        name = f"retrieval/{collection.name}"
        _part(file, name, ["retrieval 2"], partial(measure, collection, encoder), fresh)
        folder = cache / "peers" / collection.name.replace("/", "-")
        ask = partial(ranked_by_peers, collection, encoder, folder, model)
        _part(file, f"{name}, peers", ["retrieval 2"], ask, fresh)


def _tuned(file: Path, needed: Mapping[str, Path], fresh: bool) -> None:
    from benchmarks.support_tuned import fold, folds, joined

    for name in ("stackfaq", "bankfaqs"):
        for number in range(folds(name)):
            _part(file, f"tuned/{name}/{number}", ["tuned 2"], partial(fold, name, needed[name], number), fresh)
        _part(file, f"tuned/{name}", ["tuned 2"], partial(joined, file, name), fresh)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.support", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--first", type=int, default=300, help="of BANKING77's test questions; 0 takes all")
    parser.add_argument("--replies", type=int, default=REPLIES)
    parser.add_argument("--out", type=Path, default=store.RESULTS / "support.json")
    parser.add_argument("--fresh", action="store_true", help="measure finished parts again")
    run(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
