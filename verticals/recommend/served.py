"""One open recommender for a whole process, opened at the first request that needs it."""

from threading import Lock

from verticals.recommend.recommender import Recommender
from verticals.recommend.settings import recommend_settings

_lock = Lock()
_open: dict[str, Recommender] = {}


def served() -> Recommender:
    """The recommender of the configured folder; raises InputError before the first training."""
    key = f"{recommend_settings().folder.resolve()} {recommend_settings().core.database}"
    with _lock:
        if key not in _open:
            _open[key] = Recommender.open()
        return _open[key]
