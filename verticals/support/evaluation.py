"""How good the bot is: on a company's own FAQ and questions, or on questions with known intents and foreign ones."""

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.evaluation.intervals import bootstrap
from core.evaluation.retrieval import evaluate_ranking
from verticals.support.bot import Bot
from verticals.support.knowledge.faq import parse_csv
from verticals.support.precision import fit
from verticals.support.replies import Reply
from verticals.support.retrieval import Retrieval
from verticals.support.settings import SupportSettings

_DEEPEST = 30  # passages that are looked at for the rank of the right document


@dataclass(frozen=True)
class Query:
    """A question and the document that answers it; None: nothing does."""

    question: str
    id: str | None


def read_queries(path: Path) -> list[Query]:
    """A CSV with the columns question and id; a blank id means that the question cannot be answered.

    Raises InputError naming the file and row.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}).") from error
    if not rows or not {"question", "id"} <= set(rows[0]):
        raise InputError(f"{path}: the columns must be question and id, with at least one row.")
    blank = next((n for n, row in enumerate(rows, 2) if not (row["question"] or "").strip()), None)
    if blank is not None:
        raise InputError(f"{path}, line {blank}: the question is blank.")
    return [Query(row["question"].strip(), (row["id"] or "").strip() or None) for row in rows]


def evaluate_faq(
    knowledge: Path, queries: Path, settings: SupportSettings, precision: float | None = None
) -> dict[str, Any]:
    """Measure an FAQ by questions to it, with nothing fitted to either; intents are not used.

    ``precision`` of those answered, ``coverage`` of the answerable questions. ``dial`` is what a threshold for the
    wanted precision would cost, fitted on one half of the questions and measured on the other, both ways round.
    """
    from verticals.support.opening import ingest_paths, open_bot, open_encoder

    asked = read_queries(queries)
    known = {entry.id or str(n) for n, entry in enumerate(parse_csv(knowledge.read_text(encoding="utf-8-sig")), 1)}
    unknown = next((q.id for q in asked if q.id is not None and q.id not in known), None)
    if unknown is not None:
        raise InputError(f"{queries}: the id {unknown!r} is none of {knowledge}.")
    with tempfile.TemporaryDirectory(prefix="headwater-support-") as folder:
        own = settings.model_copy(
            update={"index": Path(folder) / "index", "intents": "", "thresholds": Path(folder) / "none"}
        )
        encoder = open_encoder(own)
        done = ingest_paths([knowledge], own, encoder)
        if done.failed:
            raise InputError(f"{knowledge}: {done.failed[0].reason}.")
        bot = open_bot(Bot, own, None, None, encoder)
        replies = [bot.reply(query.question) for query in asked]
        ranked = [_documents(bot.retrieval, query.question) for query in asked]
    answerable = [n for n, query in enumerate(asked) if query.id is not None]
    if not answerable:
        raise InputError(f"{queries}: no question has an id; there is nothing to find.")
    relevance = [[float(name == asked[n].id) for name in ranked[n]] for n in answerable]
    ranking = evaluate_ranking(relevance, [1] * len(answerable), ks=(1, 5, 10)).metrics_dict()
    right = np.array([_cites(reply, query.id) for reply, query in zip(replies, asked, strict=True)])
    answered = np.array([reply.kind in ("template", "passage") for reply in replies])
    sure = np.array([reply.confidence for reply in replies])
    found = np.array([bool(names) and names[0] == query.id for names, query in zip(ranked, asked, strict=True)])
    target = precision or settings.precision
    return {
        "questions": len(asked),
        "answered": int(answered.sum()),
        "precision": _share(right, answered),
        "coverage": float(answered[answerable].mean()),
        "unanswerable": {
            "questions": len(asked) - len(answerable),
            "answered": int(answered.sum() - answered[answerable].sum()),
        },
        "retrieval": {name: ranking[name] for name in ("mrr@10", "recall@5", "recall@1")},
        "intents": {},
        "dial": _dial(sure, found, target),
        "latency_ms": _latencies(replies),
    }


def evaluate_intents(
    bot: Bot, texts: Sequence[str], truth: Sequence[str], outside: Sequence[str] = ()
) -> dict[str, Any]:
    """Replies to questions with known intents, and to foreign ones that should be handed over.

    ``right_answer``: the template of the right intent, or a passage of a document that the right template cites.
    """
    replies = [bot.reply(text) for text in texts]
    foreign = [bot.reply(text) for text in outside]
    right = np.array([_right(bot, reply, intent) for reply, intent in zip(replies, truth, strict=True)])
    answered = np.array([reply.kind in ("template", "passage") for reply in replies])
    named = np.array([reply.detail.get("guess") == intent for reply, intent in zip(replies, truth, strict=True)])
    offered = np.array([_offered(reply, intent) for reply, intent in zip(replies, truth, strict=True)])
    accepted = np.array([reply.kind != "handoff" for reply in replies])
    intents: dict[str, Any] = {
        "questions": len(texts),
        "accuracy": _interval(named),
        "right_answer": _interval(right),
        "right_answer_or_choice": _interval(right | offered),
        "in_scope_acceptance": _interval(accepted),
        "kinds": _kinds(replies),
    }
    if foreign:
        handed = np.array([reply.kind == "handoff" for reply in foreign])
        intents["out_of_scope"] = {"questions": len(foreign), "handoff": _interval(handed), "kinds": _kinds(foreign)}
    return {
        "questions": len(texts) + len(foreign),
        "answered": int(answered.sum()),
        "precision": _share(right, answered),
        "coverage": float(answered.mean()) if len(answered) else 0.0,
        "retrieval": _retrieval(bot, texts, truth),
        "intents": intents,
        "latency_ms": _latencies(replies + foreign),
    }


def evaluate_shipped(bot: Bot, datasets: Path, first: int | None = 300) -> dict[str, Any]:
    """``evaluate_intents`` on BANKING77's first test questions and CLINC150's out-of-scope ones.

    Raises InputError where the data sets are not there.
    """
    import json

    bank, clinc = datasets / "banking77" / "test.csv", datasets / "clinc150" / "data_full.json"
    for path in (bank, clinc):
        if not path.is_file():
            raise InputError(f"{path} is not there; set HEADWATER_DATASETS, or give --knowledge and --queries.")
    with bank.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))[:first]
    outside = [text for text, _ in json.loads(clinc.read_text(encoding="utf-8"))["oos_test"]]
    return evaluate_intents(bot, [row["text"] for row in rows], [row["category"] for row in rows], outside)


def _documents(retrieval: Retrieval, question: str, groups: Sequence[str] = ("public",)) -> list[str]:
    found = retrieval.search(question, groups, _DEEPEST, rerank=False)
    return list(dict.fromkeys(one.document.id for one in found))


def _cites(reply: Reply, document: str | None) -> bool:
    return reply.kind in ("template", "passage") and any(c.document == document for c in reply.citations[:1])


def _right(bot: Bot, reply: Reply, intent: str) -> bool:
    if reply.kind == "template":
        return reply.intent == intent
    template = bot.templates.get(intent)
    cited = reply.citations[0].document if reply.citations else ""
    return reply.kind == "passage" and template is not None and cited in template.articles


def _offered(reply: Reply, intent: str) -> bool:
    return reply.kind == "clarify" and intent in (reply.detail.get("intents") or ())


def _retrieval(bot: Bot, texts: Sequence[str], truth: Sequence[str]) -> dict[str, Any]:
    """By the documents that the right template cites."""
    relevance, counts = [], []
    for text, intent in zip(texts, truth, strict=True):
        articles = bot.templates[intent].articles if intent in bot.templates else ()
        names = _documents(bot.retrieval, text)
        relevance.append([float(name in articles) for name in names])
        counts.append(max(len(articles), int(sum(relevance[-1]))))
    if not any(counts):
        return {}
    metrics = evaluate_ranking(relevance, counts, ks=(1, 5, 10)).metrics_dict()
    return {name: metrics[name] for name in ("mrr@10", "recall@5")}


def _dial(sure: np.ndarray, right: np.ndarray, target: float, seed: int = 7) -> dict[str, Any]:
    half = np.random.default_rng(seed).permutation(len(sure)) % 2
    answered, good, reasons = 0, 0, []
    for own in (0, 1):
        dial = fit(sure[half != own], right[half != own], target)
        if dial.threshold is None:
            reasons.append(dial.reason)
            continue
        chosen = sure[half == own] >= dial.threshold
        answered, good = answered + int(chosen.sum()), good + int(right[half == own][chosen].sum())
    curve = [point.to_dict() for point in fit(sure, right, target).curve]
    found = {"target": target, "answered": answered, "coverage": answered / max(len(sure), 1)}
    return {**found, "precision": good / answered if answered else None, "reasons": reasons, "curve": curve}


def _share(right: np.ndarray, answered: np.ndarray) -> float | None:
    return float(right[answered].mean()) if answered.any() else None


def _interval(values: np.ndarray) -> dict[str, float | None]:
    def mean(rows: Any, weights: Any) -> Any:
        return (weights * rows).sum(axis=1) / weights.sum(axis=1)

    return bootstrap(mean, [values.astype(float)]).to_dict()


def _kinds(replies: Sequence[Reply]) -> Mapping[str, int]:
    kinds = [reply.kind for reply in replies]
    return {kind: kinds.count(kind) for kind in ("template", "passage", "clarify", "handoff")}


def _latencies(replies: Sequence[Reply]) -> dict[str, float]:
    values = [reply.latency_ms for reply in replies]
    return {"p50": float(np.percentile(values, 50)), "p95": float(np.percentile(values, 95))}
