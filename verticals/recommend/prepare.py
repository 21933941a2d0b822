"""What ``headwater up`` makes of nothing: the sample in the store and a recommender trained on it."""

from collections.abc import Callable

from verticals.recommend import saved
from verticals.recommend.sample import load_sample
from verticals.recommend.settings import recommend_settings
from verticals.recommend.store import Store
from verticals.recommend.training import train


def prepare(report: Callable[[str], None]) -> None:
    """Load the sample into an empty store and train where nothing was trained; otherwise nothing is done."""
    settings = recommend_settings()
    store = Store.open(settings.core)
    if store.counts()["items"] == 0:
        report("recommend: loading the sample (synthetic behaviour)")
        load_sample(store, settings.sample)
    if saved.current(settings.folder) is None:
        train(settings, lambda line: report(f"recommend: {line}"))
