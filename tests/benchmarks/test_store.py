"""Results are found again, measured once, and name no folder of the machine."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import machine, store


def test_a_finished_part_is_not_measured_again(tmp_path: Path) -> None:
    file, calls = tmp_path / "r.json", []

    def measure() -> dict[str, Any]:
        calls.append(1)
        return {"value": len(calls)}

    assert store.part(file, "a", "k1", measure)
    assert not store.part(file, "a", "k1", measure)
    assert store.part(file, "a", "k2", measure)  # another question
    assert store.part(file, "a", "k2", measure, fresh=True)
    assert store.part(file, "b", "k2", measure)
    parts = store.read(file)["parts"]
    assert {name: part["value"] for name, part in parts.items()} == {"a": 3, "b": 4}
    assert parts["a"]["machine"]["cores"] >= 1
    assert parts["a"]["date"].endswith("UTC")


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    store.part(file, "a", "k", lambda: {"value": 1})

    def fail() -> dict[str, Any]:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError):
        store.part(file, "b", "k", fail)
    assert list(store.read(file)["parts"]) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_skip_does_not_hide_an_earlier_figure(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    store.skip(file, "a", "no data")
    assert store.read(file)["parts"]["a"]["skipped"] == "no data"
    assert store.part(file, "a", "k", lambda: {"value": 1})
    store.skip(file, "a", "no data")
    assert store.read(file)["parts"]["a"]["value"] == 1


def test_a_torn_file_counts_as_none(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text('{"parts": {"a"')
    assert store.read(file) == {}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(plain, plain)
def test_keys_agree_exactly_when_the_values_do(a: Any, b: Any) -> None:
    import json

    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (store.key_of(a) == store.key_of(b)) == same


def test_no_folder_of_the_machine_is_published() -> None:
    values = {"path": "/some where/data/x.csv", "list": ["/some where/var/runs/a"], "n": 1}
    shown = store.public(values, {"/some where/data": "{datasets}", "/some where/var": "var"})
    assert shown == {"path": "{datasets}/x.csv", "list": ["var/runs/a"], "n": 1}


def test_the_machine_is_described_without_its_name(tmp_path: Path) -> None:
    import platform

    cpu = tmp_path / "cpuinfo"
    cpu.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n")
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:       16777216 kB\n")
    found = machine.describe(cpu, memory)
    assert (found["cpu"], found["memory_gib"]) == ("Fast CPU @ 3 GHz", 16)
    assert "Fast CPU @ 3 GHz" in machine.summary(found)
    assert "16 GiB" in machine.summary(found)
    assert all(platform.node() != value for value in found.values())
    assert machine.describe(tmp_path / "none", tmp_path / "none")["cpu"]
