"""Surges: how unusual a count is, judged from the past only, with respect for seasons and over-dispersion."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verticals.finance.surges.judging import BandPoint, band, observe

__all__ = ["BandPoint", "band", "observe"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from verticals.finance.surges import judging

        return getattr(judging, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
