"""Milvus answers as FAISS does; its embedded edition stands for the server."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, MissingExtra
from core.search.distributed import MilvusIndex, expression, open_index
from core.search.vector import VectorIndex
from core.search.versions import Versions

pytest.importorskip("milvus_lite", reason="the embedded edition of Milvus is not installed")
ROWS = 60
IDS = [f"r{i}" for i in range(ROWS)]
METADATA = [{"lang": ["en", "zh"][i % 2], "groups": ["a", "b"][: 1 + i % 2], "price": i} for i in range(ROWS)]


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory, unit_vectors: Callable[..., np.ndarray]) -> Iterator[MilvusIndex]:
    index = open_index(tmp_path_factory.mktemp("milvus") / "new" / "index.db#shop", dimension=16)
    assert isinstance(index, MilvusIndex)
    index.upsert(IDS, unit_vectors(ROWS), METADATA)
    yield index
    index.close()


@pytest.fixture(scope="module")
def faiss_index(unit_vectors: Callable[..., np.ndarray]) -> VectorIndex:
    return VectorIndex.build(IDS, unit_vectors(ROWS), METADATA)


@pytest.mark.parametrize(
    "where",
    [
        None,
        {"lang": "en"},
        {"lang": ["zh", "fr"], "price": {"min": 10, "max": 40}},
        {"groups": ["b"]},
        {"groups": []},
        {"nothing": "x"},
        {"price": {"max": 3}},
        {"lang": 'en" or id != "'},
    ],
)
def test_both_find_the_same(
    milvus: MilvusIndex, faiss_index: VectorIndex, unit_vectors: Callable[..., np.ndarray], where: Any
) -> None:
    queries = unit_vectors(5, seed=3)
    for found, expected in zip(milvus.search(queries, 4, where), faiss_index.search(queries, 4, where), strict=True):
        assert [name for name, _ in found] == [name for name, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_rows_by_id(milvus: MilvusIndex, faiss_index: VectorIndex) -> None:
    assert len(milvus) == ROWS and "r3" in milvus and "none" not in milvus and milvus.dimension == 16
    assert np.allclose(milvus.vectors(["r7", "r2"]), faiss_index.vectors(["r7", "r2"]))
    assert milvus.metadata("r1") == METADATA[1]
    for call in (milvus.metadata, lambda name: milvus.vectors([name])):
        with pytest.raises(KeyError):
            call("none")


def test_changes_are_kept(tmp_path: Path, unit_vectors: Callable[..., np.ndarray]) -> None:
    vectors = unit_vectors(4)
    index = open_index(tmp_path / "index.db", dimension=16)
    index.upsert(["a", "b", "c"], vectors[:3])
    index.upsert(["b"], vectors[3:], [{"new": True}])
    assert index.remove(["c", "none"]) == 1
    assert index.search(vectors[3], 3)[0][0][0] == "b" and len(index) == 2
    index.close()  # type: ignore[attr-defined]
    again = open_index(f"{tmp_path / 'index.db'}")
    assert len(again) == 2 and again.metadata("b") == {"new": True} and "c" not in again
    with pytest.raises(InputError, match="has 16 dimensions, not 8"):
        open_index(tmp_path / "index.db", dimension=8)
    with pytest.raises(InputError, match="no collection 'other'"):
        open_index(f"{tmp_path / 'index.db'}#other")
    again.close()  # type: ignore[attr-defined]


def test_mistakes_are_one_sentence(milvus: MilvusIndex, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        open_index(tmp_path / "none.db")
    with pytest.raises(InputError, match="an index is a folder"):
        open_index("ftp://somewhere/index")
    with pytest.raises(InputError, match="no collection name"):
        open_index(tmp_path / "a.db#not a name", dimension=3)
    with pytest.raises(InputError, match="queries have 3 dimensions"):
        milvus.search(np.ones(3))
    with pytest.raises(InputError, match="k is 0"):
        milvus.search(np.ones(16), 0)
    with pytest.raises(InputError, match="id '' has|id ''…"):
        milvus.upsert([""], np.ones((1, 16)))
    with pytest.raises(InputError, match="twice in one update"):
        milvus.upsert(["a", "a"], np.ones((2, 16)))
    for where in ({"price": None}, {"a]": 1}, {"price": {"from": 1}}):
        with pytest.raises(InputError, match="condition on"):
            expression(where)


def test_a_folder_is_opened_with_faiss(tmp_path: Path, faiss_index: VectorIndex) -> None:
    Versions(tmp_path / "index").publish(faiss_index.save)
    opened = open_index(tmp_path / "index")
    assert isinstance(opened, VectorIndex) and len(opened) == ROWS


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headwater\[milvus\]'"):
        open_index(tmp_path / "index.db", dimension=3)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = "{'faiss', 'pymilvus', 'bm25s'}"
    code = f"import sys, core.search.distributed, core.search.hybrid; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
