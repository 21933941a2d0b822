"""What ``headwater up`` makes of nothing: the sample in the store and a recommender trained on it.

A recommender saved by another version, which this one cannot read, is trained again on what the store has.
"""

from collections.abc import Callable
from pathlib import Path

from core.errors import InputError
from verticals.recommend import saved
from verticals.recommend.sample import load_sample
from verticals.recommend.settings import recommend_settings
from verticals.recommend.store import Store
from verticals.recommend.training import train


def prepare(report: Callable[[str], None]) -> None:
    """Load the sample into an empty store and train where nothing can be read; otherwise nothing is done."""
    settings = recommend_settings()
    store = Store.open(settings.core)
    if store.counts()["items"] == 0:
        report("recommend: loading the sample (synthetic behaviour)")
        load_sample(store, settings.sample)
    if not _readable(saved.current(settings.folder)):
        train(settings, lambda line: report(f"recommend: {line}"))


def _readable(folder: Path | None) -> bool:
    try:
        return folder is not None and saved.load(folder) is not None
    except InputError:
        return False
