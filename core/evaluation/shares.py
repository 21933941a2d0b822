"""The interval of a share; the standard library alone, for what must start quickly."""

_Z = 1.959964  # 95%


def wilson(hits: float, n: float) -> tuple[float, float]:
    """95% interval of ``hits`` of ``n`` (Wilson, JASA 1927): right also for few; (0, 1) for none at all."""
    if n == 0:
        return 0.0, 1.0
    middle = (hits + _Z**2 / 2) / (n + _Z**2)
    half = _Z / (n + _Z**2) * (hits * (n - hits) / n + _Z**2 / 4) ** 0.5
    # Rounding must not leave the share itself outside.
    return max(0.0, min(hits / n, middle - half)), min(1.0, max(hits / n, middle + half))
