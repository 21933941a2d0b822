"""The shipped sample: items written for this project and synthetic events from the seeded simulator."""

from pathlib import Path

from verticals.recommend.behaviour import Events
from verticals.recommend.items import Items, read_items
from verticals.recommend.simulator import Interest, Simulation, read_interests, simulate
from verticals.recommend.store import Change, Store

NOTE = "sample: texts written for this project, synthetic events (seeded simulator)"


def sample_items(folder: Path) -> Items:
    """The shipped guides and products."""
    return read_items(folder / "items.csv")


def sample_interests(folder: Path) -> list[Interest]:
    """Interests as people might declare them."""
    return read_interests(folder / "interests.toml")


def sample_events(folder: Path, dials: Simulation | None = None) -> Events:
    """Events of made-up users, the same for the same files and dials."""
    return simulate(sample_items(folder), sample_interests(folder), dials)


def load_sample(store: Store, folder: Path, dials: Simulation | None = None) -> list[Change]:
    """Put both into the store, under a note that says synthetic; rows that are there already are not added again."""
    items = sample_items(folder)
    return [
        store.upsert_items(items, NOTE),
        store.append_events(simulate(items, sample_interests(folder), dials), NOTE),
    ]
