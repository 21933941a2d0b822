"""Is what comes in still what the model was made for? Texts, their lengths, and what the model says of them.

Each measure compares a reference window with a recent one. Small windows always differ a little; how much by chance
alone is found by exchanging texts between the windows (permutation test), and only what is above that is drift.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

Floats = NDArray[np.float64]
Level = Literal["none", "some", "strong"]
LEAST = 30  # texts in a window
MOST = 5000  # texts of a window that are looked at, drawn with the seed
MOST_WORDS = 5000  # the commonest of both windows together; all others count as one
MOST_VECTORS = 500  # texts of a window whose vectors are compared: time and memory go with the square
SIGNIFICANT = 0.01
SIDDIQI = "population stability index; bands 0.1 and 0.25 after Siddiqi 2006"
LIN = "Jensen-Shannon divergence in bits, Lin 1991; bands 0.05 and 0.15 are ours"
MEANS = "difference of means; bands 0.05 and 0.1 are ours"
GRETTON = "squared maximum mean discrepancy, Gretton et al. 2012; bands 0.01 and 0.05 are ours"


@dataclass(frozen=True)
class Measure:
    """One comparison. ``chance``: its mean when texts are exchanged between the windows; ``p`` of the observed value.

    ``level`` judges what ``value`` has above ``chance``, and is ``none`` while p is 0.01 or more.
    """

    name: str
    value: float
    chance: float
    p: float
    level: Level
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Drift:
    """What has drifted between two windows of so many texts, and a sentence that says so."""

    reference: int
    recent: int
    measures: tuple[Measure, ...]
    verdict: str

    @property
    def level(self) -> Level:
        """The strongest of all measures."""
        order: tuple[Level, ...] = ("none", "some", "strong")
        return max((measure.level for measure in self.measures), key=order.index, default="none")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "reference": self.reference,
            "recent": self.recent,
            "level": self.level,
            "verdict": self.verdict,
            "measures": [measure.to_dict() for measure in self.measures],
        }


def report(
    reference: Sequence[str],
    recent: Sequence[str],
    model: Any | None = None,
    encode: Callable[[list[str]], NDArray[Any]] | None = None,
    seed: int = 0,
    resamples: int = 300,
) -> Drift:
    """Drift of texts; with ``model`` (a ``Predictor``) of its answers, with ``encode`` (vectors [n, d]) of meaning.

    Blank texts are left out. Raises InputError for a window of fewer than 30 texts.
    """
    draw = np.random.default_rng(seed)
    windows = [_window(texts, name, draw) for texts, name in ((reference, "reference"), (recent, "recent"))]
    both = [*windows[0], *windows[1]]
    late = np.arange(len(both)) >= len(windows[0])
    exchanged = np.stack([late, *(draw.permutation(late) for _ in range(resamples))])
    found = [_words(both, exchanged), _lengths(both, late, exchanged)]
    if encode is not None:
        found.append(_meaning(encode, windows, draw, resamples))
    if model is not None:
        found += _answers(model, both, exchanged)
    return Drift(len(windows[0]), len(windows[1]), tuple(found), _verdict(found))


def psi(reference: Floats, recent: Floats) -> Floats:
    """Population stability index of counts [..., bins] in two windows; half a count is added to each bin."""
    p, q = _shares(reference + 0.5), _shares(recent + 0.5)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def jensen_shannon(reference: Floats, recent: Floats) -> Floats:
    """Jensen-Shannon divergence of counts [..., bins], in bits: 0 for equal shares, 1 for nothing in common."""
    from scipy.spatial.distance import jensenshannon

    distance = np.nan_to_num(jensenshannon(reference, recent, base=2, axis=-1))  # NaN: rounding below 0, or no counts
    return np.asarray(np.clip(distance**2, 0.0, 1.0))


def mmd(kernel: Floats, late: NDArray[np.bool_]) -> Floats:
    """Unbiased squared maximum mean discrepancy from a kernel matrix [n, n], for each row of ``late`` [r, n]."""
    off = kernel - np.diag(np.diag(kernel))
    y, x = late.astype(np.float64), (~late).astype(np.float64)
    n, m = x.sum(axis=1), y.sum(axis=1)
    to_x, to_y = x @ off, y @ off
    within = (to_x * x).sum(axis=1) / (n * (n - 1)) + (to_y * y).sum(axis=1) / (m * (m - 1))
    return np.asarray(within - 2 * (to_x * y).sum(axis=1) / (n * m))


def read_texts(path: Path, column: str = "text", format: str = "auto") -> list[str]:
    """The texts of a column of a table, blank cells left out. Raises InputError naming the file."""
    from core.data.formats import find_format
    from core.data.sources import Source

    source = Source(path=path, format=format)
    reader = find_format(source)
    name = column if reader.columns is None else reader.columns.text
    return [str(cell) for cell in reader.read(source, (name,)).columns[name] if cell is not None and str(cell).strip()]


def _window(texts: Sequence[str], name: str, draw: np.random.Generator) -> list[str]:
    kept = [text for text in texts if text.strip()]
    if len(kept) < LEAST:
        raise InputError(f"the {name} window has {len(kept)} texts; at least {LEAST} are needed to say anything.")
    if len(kept) > MOST:
        kept = [kept[i] for i in np.sort(draw.permutation(len(kept))[:MOST])]
    return kept


def _words(both: Sequence[str], exchanged: NDArray[np.bool_]) -> Measure:
    from scipy.sparse import csr_array, hstack
    from sklearn.feature_extraction.text import CountVectorizer

    # Any run of letters or digits, also one letter alone: Chinese is counted by characters.
    words = CountVectorizer(token_pattern=r"[一-鿿぀-ヿ]|[^\W_一-鿿぀-ヿ]+")
    try:
        counts = csr_array(words.fit_transform(both), dtype=np.float64)
    except ValueError:  # punctuation alone
        counts = csr_array((len(both), 1), dtype=np.float64)
    if counts.shape[1] > MOST_WORDS:
        order = np.argsort(-counts.sum(axis=0), kind="stable")
        rest = csr_array(counts[:, order[MOST_WORDS:]].sum(axis=1)[:, None])
        counts = csr_array(hstack([counts[:, order[:MOST_WORDS]], rest]))
    return _counted("words", counts, exchanged, jensen_shannon, (0.05, 0.15), LIN)


def _lengths(both: Sequence[str], late: NDArray[np.bool_], exchanged: NDArray[np.bool_]) -> Measure:
    lengths = np.array([len(text) for text in both], dtype=np.float64)
    edges = np.unique(np.quantile(lengths[~late], np.linspace(0.1, 0.9, 9)))
    return _counted("length", _one_hot(np.digitize(lengths, edges)), exchanged, psi, (0.1, 0.25), SIDDIQI)


def _answers(model: Any, both: Sequence[str], exchanged: NDArray[np.bool_]) -> list[Measure]:
    found = model.predict(list(both))
    number = {label: i for i, label in enumerate(model.labels)}
    said = np.array([number[one.label] for one in found])
    sure = np.array([one.probability for one in found], dtype=np.float64)
    late = exchanged.astype(np.float64)
    means = late @ sure / late.sum(axis=1), (1 - late) @ sure / (1 - late).sum(axis=1)
    return [
        _counted("labels", _one_hot(said), exchanged, psi, (0.1, 0.25), SIDDIQI),
        _measure("confidence", np.abs(means[0] - means[1]), (0.05, 0.1), MEANS),
    ]


def _meaning(
    encode: Callable[[list[str]], NDArray[Any]], windows: Sequence[list[str]], draw: np.random.Generator, resamples: int
) -> Measure:
    chosen = [[texts[i] for i in draw.permutation(len(texts))[:MOST_VECTORS]] for texts in windows]
    vectors = np.asarray(encode([*chosen[0], *chosen[1]]), dtype=np.float64)
    late = np.arange(len(vectors)) >= len(chosen[0])
    squares = (vectors**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T, 0.0)
    typical = float(np.median(distances[np.triu_indices(len(vectors), 1)])) or 1.0  # the median heuristic
    kernel = np.exp(-distances / typical)
    exchanged = np.stack([late, *(draw.permutation(late) for _ in range(resamples))])
    return _measure("meaning", mmd(kernel, exchanged), (0.01, 0.05), GRETTON)


def _counted(
    name: str,
    counts: Any,
    exchanged: NDArray[np.bool_],
    divergence: Callable[[Floats, Floats], Floats],
    bands: tuple[float, float],
    source: str,
) -> Measure:
    """A divergence of the sums of ``counts`` [n, bins] (dense or sparse) over the windows of each exchange."""
    late = np.asarray(exchanged.astype(np.float64) @ counts)
    return _measure(name, divergence(np.asarray(counts.sum(axis=0))[None, :] - late, late), bands, source)


def _measure(name: str, values: Floats, bands: tuple[float, float], source: str) -> Measure:
    """``values[0]`` is what was observed, the others what exchanging gave."""
    value, by_chance = float(values[0]), values[1:]
    # Sums in another order differ in the last bits; the observed one counts once, so that p is never 0.
    p = (1 + int((by_chance >= value - 1e-12).sum())) / (1 + len(by_chance))
    chance = float(by_chance.mean())
    level: Level = "none"
    if p < SIGNIFICANT:
        level = "strong" if value - chance >= bands[1] else "some" if value - chance >= bands[0] else "none"
    return Measure(name, value, chance, p, level, source)


def _one_hot(bins: NDArray[Any]) -> Floats:
    return np.eye(int(bins.max()) + 1)[bins]


def _shares(counts: Floats) -> Floats:
    total = counts.sum(axis=-1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts, dtype=np.float64), where=total > 0)


def _verdict(found: Sequence[Measure]) -> str:
    parts = [
        f"{level} drift of {', '.join(names)}"
        for level in ("strong", "some")
        if (names := [measure.name for measure in found if measure.level == level])
    ]
    if not parts:
        return "no drift: the recent texts look like those of the reference."
    advice = "look at the recent texts, and correct some of what the model says about them"
    return f"{' and '.join(parts)}; {advice}."
