"""The first visit is told apart from the others, and a table says what was measured, or that nothing was."""

from pathlib import Path

from benchmarks import store
from benchmarks.dashboards import summary
from benchmarks.table_dashboards import dashboards_table


def test_the_first_visit_is_told_apart(tmp_path: Path) -> None:
    visits = [{"useful": useful, "settled": useful + 1} for useful in (9.0, 1.0, 3.0, 2.0)]
    found = summary(visits)
    assert found == {"first_useful_s": 9.0, "useful_s": 2.0, "useful_worst_s": 3.0, "settled_s": 3.0}
    store.write_part(
        tmp_path / "dashboards.json", "paint", {"key": "paint", **store.stamp(), "dashboards": {"support": found}}
    )
    assert "| support | 9.0 | 2.0 (3.0) | 3.0 |" in dashboards_table(tmp_path)


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    assert dashboards_table(tmp_path) == "first useful paint: not measured yet."
