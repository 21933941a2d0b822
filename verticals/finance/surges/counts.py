"""How unusual is a count: over-dispersed tails against a robust baseline of the same weekday and hour."""

from dataclasses import dataclass

import numpy as np

from verticals.finance.surges.windows import Windows

# Every number with its reason; none of them was fitted to an archive.
MINIMUM_HISTORY = 14  # past windows: two of each weekday; below that nothing is judged
WINSOR = 0.95  # quantile above which a past window counts as a surge itself and is cut (Tukey 1962, winsorising)
WEEKDAY_PRIOR = 4.0  # windows' worth of belief that a weekday is like the others (empirical-Bayes shrinkage)
VOLUME_FLOOR = 0.02  # least squared coefficient of variation beyond Poisson's: weeks differ even when counts do not
SHARE_FLOOR = 0.01  # least correlation of stories within a window: one event makes several
NEWEST = 28  # past windows that the share is taken from: four weeks
SHARE_PRIOR = 20.0  # stories' worth of belief in the share of the newest windows over all of them


@dataclass(frozen=True)
class Judged:
    """[t] each: the value, what was expected, the tail probability P(this much or more), and the band."""

    value: np.ndarray
    expected: np.ndarray
    tail: np.ndarray
    low: np.ndarray
    high: np.ndarray


def baseline(past: np.ndarray, known: np.ndarray, weekday: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected count [t] and its extra squared coefficient of variation [t].

    Level times weekday factor. Past windows above their own 95% quantile are cut to it, so that the last surge does
    not hide the next. The extra variation is the moment estimate of the negative binomial's alpha,
    (sum (x - mu)^2 - mu) / sum mu^2 (Cameron and Trivedi, Regression Analysis of Count Data, 2013, 3.3).
    """
    values = np.where(known, past, np.nan)
    with np.errstate(invalid="ignore"):
        top = np.nanquantile(np.where(np.asarray(known.any(axis=1))[:, None], values, 0.0), WINSOR, axis=1)
    values = np.minimum(values, np.maximum(top, 1.0)[:, None])
    count = known.sum(axis=1)
    level = np.nansum(values, axis=1) / np.maximum(count, 1)
    same = known & weekday
    here = np.where(same, values, 0.0).sum(axis=1)
    factor = (here + WEEKDAY_PRIOR * level) / np.maximum((same.sum(axis=1) + WEEKDAY_PRIOR) * level, 1e-9)
    # A new subject is not expected never: half a story over all that was seen (Jeffreys' prior for a rate).
    expected = np.maximum(level * factor, 0.5 / np.maximum(count, 1))
    # The spread is that of windows around their own weekday's level, of which the judged weekday is the sample.
    around = np.where(weekday, expected[:, None], level[:, None])
    excess = np.where(known, (values - around) ** 2 - around, 0.0).sum(axis=1)
    alpha = excess / np.maximum(np.where(known, around**2, 0.0).sum(axis=1), 1e-9)
    return expected, np.maximum(alpha, VOLUME_FLOOR)


def volume(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Upper tail of the negative binomial: P(stories >= seen). ``limits``: find the band too, which takes longer."""
    return _count(windows, "stories", quantile, limits)


def negative_volume(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """The same of negative stories alone: more news of which more is bad stands out here before in either part."""
    return _count(windows, "negatives", quantile, limits)


def _count(windows: Windows, field: str, quantile: float, limits: bool) -> Judged:
    seen = windows.now[field]
    expected, alpha = baseline(windows.past[field], windows.known, windows.weekday)
    tail = negative_binomial(seen, expected, alpha)
    low, high = (_quantile(q, expected, alpha) if limits else expected for q in (1 - quantile, quantile))
    return Judged(seen, expected, tail, low, high)


def negative_binomial(k: np.ndarray, mean: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """P(K >= k) of a negative binomial with variance mean + alpha mean^2, by the incomplete beta function."""
    from scipy.special import betainc

    size = 1 / alpha
    return np.asarray(np.where(k > 0, betainc(np.maximum(k, 1e-9), size, mean / (size + mean)), 1.0))


def _quantile(quantile: float, mean: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The smallest count that is not exceeded with this probability, by bisection."""
    low = np.full(len(mean), -1.0)
    high = np.ceil(mean + 20 * np.sqrt(mean + alpha * mean**2) + 20)
    while (wide := high - low > 1).any():
        middle = np.where(wide, np.floor((low + high) / 2), high)
        enough = 1 - negative_binomial(middle + 1, mean, alpha) >= quantile
        high, low = np.where(wide & enough, middle, high), np.where(wide & ~enough, middle, low)
    return high


def negatives(windows: Windows, quantile: float, limits: bool = False) -> Judged:
    """Upper tail of the beta-binomial: P(negatives >= seen | stories), as a share.

    The correlation of stories within a window is the moment estimate from past windows (Williams 1982).
    """
    seen, stories = windows.now["negatives"], windows.now["stories"]
    past_n = np.where(windows.known, windows.past["stories"], 0.0)
    past_k = np.where(windows.known, windows.past["negatives"], 0.0)
    total = past_n.sum(axis=1)
    share = (past_k.sum(axis=1) + 0.5) / (total + 1)
    newest = slice(0, NEWEST)
    share = (past_k[:, newest].sum(axis=1) + SHARE_PRIOR * share) / (past_n[:, newest].sum(axis=1) + SHARE_PRIOR)
    rho = _correlation(past_k, past_n, share)
    a, b = share * (1 - rho) / rho, (1 - share) * (1 - rho) / rho
    tail, low, high = beta_binomial(seen, stories, a, b, quantile if limits else None)
    return Judged(seen / np.maximum(stories, 1), share, tail, low, high)


def beta_binomial(
    k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray, quantile: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(K >= k) [t] for K of n, and the shares at both quantiles; scipy's is right but sums one row after the other."""
    tail, low, high = np.ones(len(k)), np.zeros(len(k)), np.ones(len(k))
    order = np.argsort(n, kind="stable")
    start = 0
    while start < len(order):
        # Rows of like size together, so that the table of all outcomes stays small.
        end = int(np.searchsorted(n[order], max(32.0, 2 * n[order[start]]), side="right"))
        rows = order[start : min(end, start + 4096)]
        tail[rows], low[rows], high[rows] = _table(k[rows], n[rows], a[rows], b[rows], quantile)
        start += len(rows)
    return tail, low, high


def _table(
    k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray, quantile: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.special import betaln, gammaln

    outcomes = np.arange(int(n.max(initial=0)) + 1)[None, :]
    n, a, b = n[:, None], a[:, None], b[:, None]
    rest = np.maximum(n - outcomes, 0)
    logs = gammaln(n + 1) - gammaln(outcomes + 1) - gammaln(rest + 1) + betaln(outcomes + a, rest + b) - betaln(a, b)
    chances = np.where(outcomes <= n, np.exp(logs), 0.0)
    tail = np.clip(np.where(outcomes >= k[:, None], chances, 0.0).sum(axis=1), 0.0, 1.0)
    if quantile is None:
        return tail, np.zeros(len(k)), np.ones(len(k))
    below = np.cumsum(chances, axis=1)
    many = np.maximum(n[:, 0], 1)
    return tail, (below < 1 - quantile).sum(axis=1) / many, (below < quantile).sum(axis=1) / many


def _correlation(k: np.ndarray, n: np.ndarray, share: np.ndarray) -> np.ndarray:
    """From sum (k - n p)^2 = p (1 - p) sum n (1 + (n - 1) rho)."""
    p = share[:, None]
    spread = ((k - n * p) ** 2).sum(axis=1) / np.maximum(share * (1 - share), 1e-9)
    pairs = (n * np.maximum(n - 1, 0)).sum(axis=1)
    rho = np.where(pairs > 0, (spread - n.sum(axis=1)) / np.maximum(pairs, 1e-9), 0.0)
    return np.asarray(np.clip(rho, SHARE_FLOOR, 0.5))
