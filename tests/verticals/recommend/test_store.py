"""Items and events in the database: versions, upserts, appends, and what a killed process leaves."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from core.settings import PROJECT_ROOT
from tests.verticals.recommend.conftest import event_rows, item_rows, make_events, make_items
from verticals.recommend import tables
from verticals.recommend.settings import RecommendSettings
from verticals.recommend.store import Store


def test_items_come_back_as_they_went_in(store: Store) -> None:
    back = store.items()
    assert back is not None
    assert list(back.ids) == [row["id"] for row in item_rows()]
    first = back.frame.iloc[0]
    assert first["tags"] == ["home"] and first["published"].isoformat() == "2026-01-01T00:00:00+00:00"
    assert back.numeric["minutes"].tolist()[:3] == [1.0, 2.0, 3.0]


def test_an_upsert_replaces_in_place_and_appends_at_the_end(store: Store) -> None:
    version = store.version()
    rows = [{**item_rows()[3], "title": "changed"}, {**item_rows()[0], "id": "new-1"}]
    change = store.upsert_items(make_items(rows))
    back = store.items()
    assert change.added == 1 and change.version == version + 1
    assert back is not None and back.ids[-1] == "new-1" and back.frame["title"].iloc[3] == "changed"
    changed = store.items(after=version)
    assert changed is not None and set(changed.ids) == {"home-3", "new-1"}


def test_events_are_added_once(store: Store) -> None:
    assert store.append_events(make_events()).added == 0
    more = make_events([{"user": "u99", "item": "home-1", "event": "view", "time": "2026-03-01T00:00Z"}])
    before = store.version()
    assert store.append_events(more).added == 1
    fresh = store.events(after=before)
    assert fresh is not None and fresh.frame["user"].tolist() == ["u99"]


def test_impressions_keep_position_and_propensity(store: Store) -> None:
    rows: list[dict[str, Any]] = [
        {"user": "u1", "item": "home-1", "event": "click", "time": "2026-03-02T00:00Z"},
        {"user": "u1", "item": "home-2", "event": None, "time": "2026-03-02T00:00Z"},
    ]
    rows = [{**row, "impression": "i1", "position": at + 1, "propensity": 0.5} for at, row in enumerate(rows)]
    before = store.version()
    store.append_events(make_events(rows))
    back = store.events(after=before)
    assert back is not None
    assert back.shown[["item", "position", "propensity"]].values.tolist() == [["home-1", 1, 0.5], ["home-2", 2, 0.5]]
    assert back.shown["clicked"].tolist() == [True, False]


def test_a_failing_append_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before, counts = store.version(), store.counts()
    more = make_events([{"user": "u99", "item": "home-1", "event": "view", "time": "2026-03-01T00:00Z"}])
    insert = Store._insert

    def breaks(connection: Any, table: Any, *rest: Any) -> None:
        insert(connection, table, *rest)
        if table is tables.events:
            raise IntegrityError("made to fail", {}, Exception())

    monkeypatch.setattr(Store, "_insert", staticmethod(breaks))
    with pytest.raises(IntegrityError):
        store.append_events(more)
    assert store.version() == before and store.counts() == counts


KILLED = """
import os, signal, sys
from tests.verticals.recommend.conftest import event_rows, make_events
from verticals.recommend.store import Store
from core.settings import get_settings
store = Store.open(get_settings())
insert = Store._insert
def dies(connection, table, rows, *rest):
    insert(connection, table, rows, *rest)
    os.kill(os.getpid(), signal.SIGKILL)
Store._insert = staticmethod(dies)
store.append_events(make_events(event_rows(users=60, seed=9)))
"""


def test_kill_in_an_append_leaves_the_version_before(store: Store, private_var: Path) -> None:
    before, counts = store.version(), store.counts()
    environment = {**os.environ, "HEADWATER_VAR": str(private_var), "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, cwd=PROJECT_ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.version() == before and store.counts() == counts
    assert store.append_events(make_events(event_rows(users=60, seed=9))).added > 0


def test_writers_at_the_same_time_number_items_and_versions_apart(settings: RecommendSettings) -> None:
    store = Store.open(settings.core)
    failures: list[Exception] = []

    def write(part: int) -> None:
        try:
            for number in range(5):
                store.upsert_items(make_items([{**item_rows()[0], "id": f"{part}-{number}"}]))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and store.version() == 20
    back = store.items()
    assert back is not None and len(set(back.ids)) == 20
