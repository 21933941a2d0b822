"""What changes between two versions on saved queries."""

from pathlib import Path
from typing import Any

from core.search.compare import diff, diff_versions
from core.search.hybrid import Document, Hit, HybridIndex


def _fixed(names: dict[str, str]) -> Any:
    return lambda query, k: [Hit(name, 1.0, 1.0, 1.0) for name in names[query]][:k]


def test_changes_by_hand() -> None:
    changes = diff(
        ["q", "r", "s"], _fixed({"q": "abcd", "r": "xy", "s": ""}), _fixed({"q": "acbe", "r": "xy", "s": ""}), 4
    )
    assert [change.query for change in changes] == ["q", "r", "s"]  # the most changed first
    assert changes[0].to_dict() == {
        "query": "q",
        "overlap": 0.75,
        "gained": ["e"],
        "lost": ["d"],
        "moved": {"b": [2, 3], "c": [3, 2]},
    }
    assert changes[1].overlap == changes[2].overlap == 1.0 and not changes[1].moved


def test_saved_versions(encoder: Any, tmp_path: Path) -> None:
    index = HybridIndex.build([Document("a", ("refund policy",)), Document("b", ("password",))], encoder)
    index.save(tmp_path)
    index.updated([Document("c", ("refund money",))], removed=["a"]).save(tmp_path)
    (change,) = diff_versions(tmp_path, encoder, ["refund"], old=1, k=1)
    assert (change.lost, change.gained, change.overlap) == (("a",), ("c",), 0.0)
    assert diff_versions(tmp_path, encoder, ["refund"], old=2)[0].overlap == 1.0
