"""Put a bot together from its settings."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.search.encoding import Encoder
from core.search.versions import Versions
from verticals.support.intents import Intents
from verticals.support.knowledge.ingest import IngestReport, ingest
from verticals.support.precision import Watched
from verticals.support.replies import Annotated, SimilarCases
from verticals.support.retrieval import QueryEncoder, Retrieval
from verticals.support.settings import SupportSettings

if TYPE_CHECKING:
    from verticals.support.bot import Bot

_log = logging.getLogger(__name__)


def open_encoder(settings: SupportSettings) -> QueryEncoder:
    """The encoder of questions and passages; its ONNX export is made on first use."""
    from core.serving.encoder import load_encoder

    return QueryEncoder(load_encoder(settings.encoder, engine=settings.engine))


def open_bot(
    kind: "type[Bot]",
    settings: SupportSettings,
    annotated: Annotated | None,
    similar: SimilarCases | None,
    encoder: QueryEncoder | None = None,
) -> "Bot":
    """What ``Bot.open`` does; ``encoder`` is one that is open already."""
    from core.operations.following import follow
    from verticals.support.generators import open_generator
    from verticals.support.rewrite import Rewriter
    from verticals.support.scope import Scope
    from verticals.support.templates import load_templates

    retrieval = Retrieval(settings.index, encoder or open_encoder(settings), _reranker(settings))
    intents = Intents(follow(settings.intents, settings.engine)) if settings.intents else None
    scope = Scope.load(settings.scope)
    generator = open_generator(settings)
    return kind(
        settings,
        retrieval,
        intents,
        scope,
        load_templates(settings.templates) if settings.intents else {},
        Watched(settings.thresholds, scope.thresholds),
        annotated,
        similar,
        Rewriter(generator) if generator else None,
    )


def open_default(settings: SupportSettings | None = None) -> "Bot":
    """The bot as it is served: the knowledge read in if nothing is there yet, annotated answers from the database."""
    from verticals.support.bot import Bot
    from verticals.support.conversations import open_annotated, open_similar

    settings = settings or SupportSettings()
    if Versions(settings.index).current() is None:
        prepare(settings=settings)
    return Bot.open(settings, open_annotated(), open_similar())


def _reranker(settings: SupportSettings) -> Any:
    if not settings.reranker:
        return None
    from core.search.rerank import Reranker
    from core.serving.predictor import load_predictor

    model = load_predictor(settings.reranker, engine=settings.engine)
    return Reranker(lambda query, texts: model.score([query] * len(texts), list(texts)), settings.reranker_ms)


def ingest_paths(
    paths: list[str | Path], settings: SupportSettings, encoder: Encoder | None = None, **options: Any
) -> IngestReport:
    """Ingest into the configured index."""
    return ingest(paths, settings.index, encoder or open_encoder(settings), keep=settings.keep_versions, **options)


def prepare(report: Any = None, settings: SupportSettings | None = None) -> None:
    """What has to be there before the first question: the exports of both networks, and an index of the knowledge.

    The shipped knowledge is read again when it has changed, unless people have put their own into the index.
    ``report`` takes a line of progress.
    """
    from core.operations.following import follow

    say = report if callable(report) else _log.info
    settings = settings or SupportSettings()
    encoder = open_encoder(settings)
    if settings.intents:
        follow(settings.intents, settings.engine)
    if Versions(settings.index).current() is not None and _own(settings, encoder):
        say("support: the index holds documents of your own; the shipped knowledge is left out")
        return
    done = ingest_paths([settings.knowledge], settings, encoder)
    say(f"support: {done.documents} documents in {done.passages} passages, index version {done.version}")


def _own(settings: SupportSettings, encoder: Encoder) -> bool:
    from verticals.support.knowledge.store import Knowledge

    folder = settings.knowledge.resolve()
    sources = Knowledge.open(settings.index, encoder).by_source
    return not any(Path(source).is_relative_to(folder) for source in sources)
