"""Judge generated text against references by overlap, and a language model by its perplexity."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.evaluation.intervals import Floats, Interval, bootstrap, bootstrap_many, weighted_mean
from core.evaluation.weighted import divide

CHRF_ORDER, CHRF_BETA = 6, 2.0
# Han and kana are written without spaces: each character is a token, other scripts go by word.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True)
class GenerationResult:
    """Overlap with the references over n replies, each metric from 0 to 1 with its interval over replies."""

    metrics: Mapping[str, Interval]
    n: int

    def metrics_dict(self) -> dict[str, dict[str, float | None]]:
        """``{"token_f1": {"value", "low", "high"}, …}``."""
        return {name: interval.to_dict() for name, interval in self.metrics.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"n": self.n, "metrics": self.metrics_dict()}


def evaluate_generation(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    resamples: int = 1000,
    seed: int = 0,
) -> GenerationResult:
    """Exact match, token F1, ROUGE-L (means over replies) and corpus chrF, with 95 % intervals.

    A reply may have several references; the one that suits it best counts, for each metric on its own.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions, but {len(references)} references")
    allowed = [[r] if isinstance(r, str) else list(r) for r in references]
    if any(not options for options in allowed):
        raise ValueError("a prediction has no reference")
    pairs = list(zip(predictions, allowed, strict=True))
    scores = [_best(metric, pairs) for metric in (exact_match, token_f1, rouge_l)]
    statistics = np.array([_chrf_best(p, options) for p, options in pairs], dtype=np.float64).reshape(len(pairs), -1)

    def metrics(exact: Any, f1: Any, rouge: Any, statistics: Any, weights: Floats) -> dict[str, Floats]:
        return {
            "exact_match": weighted_mean(exact, weights),
            "token_f1": weighted_mean(f1, weights),
            "rouge_l": weighted_mean(rouge, weights),
            "chrf": _chrf_score(weights @ statistics),
        }

    return GenerationResult(bootstrap_many(metrics, [*scores, statistics], resamples, seed), len(pairs))


def tokens(text: str) -> list[str]:
    """Lower-case words and numbers without punctuation, after NFKC; Han and kana by character."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def exact_match(prediction: str, reference: str) -> float:
    """1 when both texts have the same tokens in the same order (case and punctuation aside), else 0."""
    return float(tokens(prediction) == tokens(reference))


def token_f1(prediction: str, reference: str) -> float:
    """F1 of the shared tokens, counted with multiplicity (Rajpurkar et al. 2016, articles kept)."""
    said, meant = tokens(prediction), tokens(reference)
    shared = sum((Counter(said) & Counter(meant)).values())
    return _f1(shared, len(said), len(meant))


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F1: longest common subsequence of tokens (Lin 2004), precision and recall weighing the same."""
    said, meant = tokens(prediction), tokens(reference)
    return _f1(_common_subsequence(said, meant), len(said), len(meant))


def chrf(prediction: str, reference: str) -> float:
    """Character n-gram F-score of one text pair (Popović 2015), from 0 to 1; see ``corpus_chrf``."""
    return corpus_chrf([prediction], [reference])


def corpus_chrf(predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> float:
    """chrF2 of a corpus: orders 1 to 6, recall weighing twice, white space dropped, case kept.

    Counts are summed over texts; precision and recall are averaged over the orders that occur on both sides.
    """
    total = np.zeros(3 * CHRF_ORDER)
    for prediction, given in zip(predictions, references, strict=True):
        total += _chrf_best(prediction, [given] if isinstance(given, str) else list(given))
    return float(_chrf_score(total[None, :])[0])


def perplexity(log_likelihoods: ArrayLike, token_counts: ArrayLike, resamples: int = 1000, seed: int = 0) -> Interval:
    """exp of the mean negative log-likelihood a token, with a 95 % interval over texts.

    ``log_likelihoods`` [n] are sums over each text's tokens, in nats; ``token_counts`` [n] how many were
    predicted.
    """

    def metric(likelihood: Any, counts: Any, weights: Floats) -> Floats:
        mean = divide(weights @ likelihood, weights @ counts, otherwise=np.nan)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(-mean))

    rows = [np.asarray(log_likelihoods, dtype=np.float64), np.asarray(token_counts, dtype=np.float64)]
    return bootstrap(metric, rows, resamples, seed)


def perplexity_from_mean(mean_log_likelihood: float) -> float:
    """exp of the negative mean log-likelihood a token (nats); infinite where that overflows."""
    try:
        return math.exp(-mean_log_likelihood)
    except OverflowError:
        return math.inf


def _best(metric: Callable[[str, str], float], pairs: list[tuple[str, list[str]]]) -> Floats:
    return np.array([max(metric(p, option) for option in options) for p, options in pairs], dtype=np.float64)


def _f1(shared: int, said: int, meant: int) -> float:
    # Two texts without a token agree; one without a token shares nothing.
    return 2 * shared / (said + meant) if said + meant else 1.0


def _common_subsequence(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence by bit vectors (Hyyrö 2004): one addition a token of ``b``."""
    where: dict[str, int] = {}
    for i, token in enumerate(a):
        where[token] = where.get(token, 0) | (1 << i)
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        matches = row & where.get(token, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(a) - row.bit_count()


def _chrf_best(prediction: str, options: Sequence[str]) -> Floats:
    counted = [_chrf_counts(prediction, option) for option in options]
    return max(counted, key=lambda c: float(_chrf_score(c[None, :])[0]))


def _chrf_counts(prediction: str, reference: str) -> Floats:
    """[3 x order]: n-grams of the prediction, of the reference, and shared, for each order."""
    said, meant = ("".join(text.split()) for text in (prediction, reference))
    counts = []
    for order in range(1, CHRF_ORDER + 1):
        a, b = (Counter(t[i : i + order] for i in range(len(t) - order + 1)) for t in (said, meant))
        counts += [a.total(), b.total(), (a & b).total()]
    return np.array(counts, dtype=np.float64)


def _chrf_score(statistics: Floats) -> Floats:
    said, meant, shared = (statistics[:, i::3] for i in range(3))
    both = (said > 0) & (meant > 0)
    orders = both.sum(axis=1)
    precision, recall = (divide((divide(shared, x) * both).sum(axis=1), orders) for x in (said, meant))
    score = divide((1 + CHRF_BETA**2) * precision * recall, CHRF_BETA**2 * precision + recall)
    # Nothing expected and nothing said agree, as in the other metrics.
    return np.where((said.sum(axis=1) + meant.sum(axis=1)) == 0, 1.0, score)
