"""Fit the scope model that ships, on training and validation rows only: ``python -m benchmarks.support_scope``."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.support_data import Outside, banking, clinc
from core.settings import get_settings
from verticals.support.intents import Intents
from verticals.support.opening import ingest_paths
from verticals.support.retrieval import QueryEncoder, Retrieval
from verticals.support.scope_fitting import Labelled, fit_scope
from verticals.support.settings import SupportSettings
from verticals.support.templates import load_templates


def main(arguments: Sequence[str] | None = None) -> None:
    """Ingest the shipped knowledge into a folder of its own, fit, and write the model."""
    from core.serving.embedding_cache import EmbeddingCache
    from core.serving.encoder import load_encoder
    from core.serving.predictor import load_predictor

    parser = argparse.ArgumentParser(prog="python -m benchmarks.support_scope", description=__doc__)
    parser.add_argument("--out", type=Path, default=SupportSettings().scope)
    parser.add_argument("--rows", type=int, help="take every n-th row only, about so many of each kind: a quick try")
    chosen = parser.parse_args(arguments)
    settings = SupportSettings(index=get_settings().cache / "support-scope-index")
    kept = EmbeddingCache(get_settings().cache / "support-scope.sqlite")  # an interrupted fit goes on
    encoder = QueryEncoder(load_encoder(settings.encoder, engine=settings.engine, cache=kept))
    ingest_paths([settings.knowledge], settings, encoder)
    retrieval = Retrieval(settings.index, encoder)
    intents = Intents(load_predictor(settings.intents, engine=settings.engine))
    trained, held_out = banking(settings.intents)
    outside = clinc(get_settings().datasets)
    if chosen.rows:
        trained = Labelled(_some(trained.texts, chosen.rows), _some(trained.intents, chosen.rows))
        few = _some(outside.validation, chosen.rows // 2)
        outside = Outside(_some(outside.train, chosen.rows), few, [], _some(outside.near, chosen.rows // 4))
    articles = {name: one.articles for name, one in load_templates(settings.templates).items()}
    scope = fit_scope(intents, retrieval, trained, held_out, outside.train, outside.validation, outside.near, articles)
    scope.save(chosen.out)
    print(
        json.dumps(
            {
                "fitted": scope.fitted,
                "thresholds": scope.thresholds,
                **{k: vars(getattr(scope, k)) for k in ("scope", "intent", "passage")},
            },
            indent=1,
        )
    )


def _some(rows: Sequence[str], most: int) -> list[str]:
    return list(rows[:: max(1, len(rows) // most)])


if __name__ == "__main__":
    main()
