"""Items and events from files, what validation says of them, and splits that know nothing of the future."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from tests.verticals.recommend.conftest import event_rows, make_events, make_items
from verticals.recommend import cells
from verticals.recommend.behaviour import EventColumns, Events, read_events
from verticals.recommend.items import ItemColumns, Items, read_items
from verticals.recommend.rows import events_of, items_of
from verticals.recommend.splits import leakage, temporal_split
from verticals.recommend.validation import EventChecks, validate


def now() -> datetime:
    return datetime(2026, 6, 1, tzinfo=UTC)


def test_items_of_every_format_are_the_same(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "title": "One", "tags": "x|y", "category": "c", "published": "2026-01-02", "price": "3"},
        {"id": "b", "title": "Two", "tags": "", "category": "", "published": "1767312000", "price": ""},
    ]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "i.csv", index=False)
    frame.to_csv(tmp_path / "i.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "i.parquet", index=False)
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name in ("i.csv", "i.tsv", "i.parquet", "i.jsonl"):
        items = read_items(tmp_path / name)
        assert items.ids == ("a", "b") and items.frame["tags"].tolist() == [["x", "y"], []]
        assert items.published.tolist() == [1767312000.0, 1767312000.0]
        assert items.numeric["price"][0] == 3 and np.isnan(items.numeric["price"][1])
        assert items.texts == ["One. x, y", "Two"]


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "i.csv"
    path.write_text("sku,name\n007,Seven\n", encoding="utf-8")
    items = read_items(path, columns=ItemColumns(id="sku", title="name"))
    assert items.ids == ("007",) and items.frame["title"].tolist() == ["Seven"]
    with pytest.raises(InputError, match="id"):
        read_items(path)


def test_blank_and_repeated_ids_are_told(tmp_path: Path) -> None:
    path = tmp_path / "i.csv"
    path.write_text("id,title,published\na,old,soon\n,lost,\na,new,2026-01-01\nb,,\n", encoding="utf-8")
    items = read_items(path)
    assert items.frame["title"].tolist() == ["new", ""]
    assert [f.kind for f in items.findings] == ["published", "missing_id", "duplicate_item", "blank_text"]
    assert items.findings[1].examples[0].endswith("i.csv:3 id")


def test_events_map_names_and_list_what_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("who,item,event,time,seen\nu,a,purchase,2026-01-01,a|b|c\nu,b,,2026-01-02,\n", encoding="utf-8")
    events = read_events(path, columns=EventColumns(user="who", impressions="seen"))
    assert events.frame[["user", "item", "event"]].values.tolist() == [["u", "a", "buy"]]
    assert events.shown[["item", "position", "clicked"]].values.tolist() == [
        ["a", 1, True],
        ["b", 2, False],
        ["c", 3, False],
    ]
    with pytest.raises(InputError, match="row 2, column event"):
        path.write_text("user,item,event,time\nu,a,stare,2026-01-01\n", encoding="utf-8")
        read_events(path)


def test_validation_names_every_problem() -> None:
    rows = event_rows(users=3)
    rows += [
        rows[0],
        {**rows[0], "item": "gone"},
        {**rows[0], "time": "2031-01-01T00:00Z"},
        {**rows[0], "time": "2025-01-01T00:00Z"},
    ]
    rows += [{**rows[1], "user": "bot", "time": f"2026-03-01T00:00:{s % 60:02d}.{s}Z"} for s in range(200)]
    checked = validate(make_events(rows), make_items(), now)
    found = {finding.kind: finding.count for finding in checked.findings}
    assert found == {"unknown_item": 1, "clock": 1, "before_publication": 1, "duplicate": 1, "bot": 200}
    assert len(checked.events) == 24 + 1 and "bot" not in set(checked.events.frame["user"])
    with pytest.raises(InputError, match="1 events with an item that does not exist"):
        validate(make_events(rows), make_items(), now, EventChecks(unknown_items="refuse"))


def test_a_users_split_holds_out_their_end_and_leaks_nothing(events: Events) -> None:
    split = temporal_split(events, "user", 0.25)
    assert len(split.test) == 60 and len(split.train) == 180 and leakage(split) == []
    last = split.train.frame.groupby("user")["time"].max()
    assert (split.test.frame["time"] > split.test.frame["user"].map(last)).all()


def test_a_global_split_cuts_at_one_moment(events: Events) -> None:
    split = temporal_split(events, "global", 0.25)
    assert split.train.frame["time"].max() < split.test.frame["time"].min()
    with pytest.raises(InputError, match="between 0 and 1"):
        temporal_split(events, "global", 1.0)


def test_what_was_had_before_is_not_held_out() -> None:
    rows = [
        {"user": "u", "item": "home-1", "event": "view", "time": f"2026-01-0{day}T00:00Z"} for day in range(1, 6)
    ] + [{"user": "v", "item": f"home-{day}", "event": "view", "time": f"2026-01-0{day}T00:00Z"} for day in range(1, 6)]
    split = temporal_split(make_events(rows), "user", 0.2)
    assert split.test.frame["user"].tolist() == ["v"] and split.findings[0].kind == "seen"


@pytest.mark.parametrize(
    ("row", "message"),
    [({}, "row 1: id is missing"), ({"id": "x" * 201}, "at most 200"), ({"id": "a", "title": "t" * 20_001}, "shorten")],
)
def test_odd_item_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        items_of([row])


def test_rows_keep_further_columns() -> None:
    made = items_of([{"id": 7, "title": "Seven", "tags": ["a"], "price": 3}])
    assert made.ids == ("7",) and made.numeric["price"].tolist() == [3.0]
    with pytest.raises(InputError, match="list is empty"):
        events_of([])


def test_an_upsert_keeps_numbers(items: Items) -> None:
    newer = items_of([{"id": "home-1", "title": "changed"}, {"id": "extra", "title": "more"}])
    both = items.upsert(newer)
    assert both.ids == (*items.ids, "extra") and both.frame["title"].iloc[1] == "changed"


@given(st.lists(st.one_of(st.none(), st.text(max_size=30), st.floats(), st.integers(-(10**18), 10**18)), max_size=8))
def test_times_never_fail_and_are_utc(given_cells: list[Any]) -> None:
    found = cells.times(given_cells)
    assert len(found) == len(given_cells) and str(found.dtype) == "datetime64[us, UTC]"


@given(st.one_of(st.none(), st.text(max_size=40), st.floats(), st.integers()))
def test_a_cell_is_trimmed_text_or_nothing(cell: Any) -> None:
    found = cells.text(cell)
    assert found is None or (found == found.strip() and found)
