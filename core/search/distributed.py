"""The vector index on Milvus, for collections that outgrow one machine; a ``.db`` file is its embedded edition.

It answers the calls of ``VectorIndex`` in the same way, except where this page says that it refuses.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urldefrag

import numpy as np

from core.errors import InputError, MissingExtra
from core.search.filters import Where
from core.search.vector import VectorIndex, checked
from core.search.versions import Versions

_COLLECTION = "headwater"
_BATCH = 500  # rows a request: 500 of 1,024 dimensions stay well under the 4 MB that gRPC allows by default
_LONGEST_ID = 512
_FIELD = re.compile(r"[\w .:-]+")


class SearchIndex(Protocol):
    """What both editions can do; callers need not know which they have."""

    def __len__(self) -> int:
        """How many rows can be found."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a row of that id."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    def search(self, queries: np.ndarray, k: int = 10, where: Where | None = None) -> list[list[tuple[str, float]]]:
        """For each query up to k (id, cosine), best first."""

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """float32 [n, d] of these ids."""

    def metadata(self, name: str) -> Mapping[str, Any]:
        """The row's metadata."""

    def upsert(
        self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Add rows, replacing those whose id is there."""

    def remove(self, ids: Iterable[str]) -> int:
        """Remove rows; returns how many went."""


def open_index(place: str | Path, dimension: int | None = None, token: str | None = None) -> SearchIndex:
    """The index at a place: ``https://host:19530#collection`` and ``file.db#collection`` are Milvus, a folder is FAISS.

    ``dimension`` creates the Milvus collection when there is none; ``token`` is the server's ``user:password`` or key.
    Raises InputError when there is nothing to open, MissingExtra without pymilvus.
    """
    address, collection = urldefrag(str(place))
    if address.startswith(("http://", "https://", "tcp://")) or address.endswith(".db"):
        return MilvusIndex(address, collection or _COLLECTION, dimension, token)
    if "://" in address:
        raise InputError(f"{address}: an index is a folder, a .db file, or an http, https or tcp address of Milvus.")
    return Versions(Path(address)).open(VectorIndex.open)[1]


class MilvusIndex:
    """One collection: string id, vector, metadata as JSON. Inner product of unit vectors, so scores are cosines.

    A change is seen by every search that starts after it (consistency level Strong). Unlike ``VectorIndex`` it refuses
    conditions on missing values (``{"field": None}``); ranges match single values, not members of lists. The
    embedded edition serves one process, and a search there is exact.
    """

    def __init__(self, address: str, collection: str, dimension: int | None = None, token: str | None = None) -> None:
        """Connect; see ``open_index``."""
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise MissingExtra("An index on Milvus", "pip install 'headwater[milvus]'") from error
        if not re.fullmatch(r"[A-Za-z_]\w{0,254}", collection, re.ASCII):
            raise InputError(f"{collection!r} is no collection name; use letters, digits and underscores.")
        self.address, self.collection = address, collection
        if address.endswith(".db") and not Path(address).exists():
            if dimension is None:
                raise InputError(f"{address}: there is no such file; give the vectors' dimension to create it.")
            Path(address).parent.mkdir(parents=True, exist_ok=True)
        with self._clear():
            self._client = MilvusClient(uri=address, token=token or "")
            if self._client.has_collection(collection):
                self._client.load_collection(collection)
                self.dimension = self._dimension(dimension)
            elif dimension is None:
                raise InputError(f"{address} has no collection {collection!r}; give the dimension to create it.")
            else:
                self.dimension = dimension
                self._create()

    def _create(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_LONGEST_ID)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("metadata", DataType.JSON)
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
        self._client.create_collection(self.collection, schema=schema, index_params=indexes, consistency_level="Strong")

    def _dimension(self, wanted: int | None) -> int:
        fields = self._client.describe_collection(self.collection)["fields"]
        there = next((int(f["params"]["dim"]) for f in fields if f["name"] == "vector"), None)
        if there is None or {"id", "metadata"} - {f["name"] for f in fields}:
            raise InputError(f"collection {self.collection!r} of {self.address} was not made by this program.")
        if wanted not in (None, there):
            raise InputError(f"collection {self.collection!r} has {there} dimensions, not {wanted}.")
        return there

    def __len__(self) -> int:
        """How many rows can be found."""
        with self._clear():
            found = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def __contains__(self, name: str) -> bool:
        """Whether there is a row of that id."""
        return bool(self._get([name], "id"))

    def search(self, queries: np.ndarray, k: int = 10, where: Where | None = None) -> list[list[tuple[str, float]]]:
        """For each of the queries [q, d] (or one [d]) up to k (id, cosine), best first. All k rows match ``where``."""
        queries = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        if queries.shape[1] != self.dimension:
            raise InputError(f"queries have {queries.shape[1]} dimensions, the index {self.dimension}.")
        if k < 1:
            raise InputError(f"k is {k}; ask for at least one hit.")
        with self._clear():
            found = self._client.search(
                self.collection, data=queries.tolist(), limit=k, filter=expression(where), output_fields=["id"]
            )
        return [[(hit["id"], float(hit["distance"])) for hit in hits] for hits in found]

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """float32 [n, d] of these ids. Raises KeyError for one that is not there."""
        found = {row["id"]: row["vector"] for row in self._get(ids, "vector")}
        return np.array([found[name] for name in ids], dtype=np.float32).reshape(-1, self.dimension)

    def metadata(self, name: str) -> Mapping[str, Any]:
        """The row's metadata. Raises KeyError."""
        found = self._get([name], "metadata")
        if not found:
            raise KeyError(name)
        value = found[0]["metadata"]
        return dict(json.loads(value) if isinstance(value, str | bytes) else value)

    def upsert(
        self, ids: Sequence[str], vectors: np.ndarray, metadata: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """Add rows, replacing those whose id is there. Large updates become visible in parts."""
        extra = list(metadata) if metadata is not None else [{}] * len(ids)
        vectors = checked(ids, vectors, extra)
        if len(set(ids)) != len(ids):
            raise InputError("an id is there twice in one update; ids must be unique.")
        if len(ids) and vectors.shape[1] != self.dimension:
            raise InputError(f"vectors have {vectors.shape[1]} dimensions, the index {self.dimension}.")
        long = next((name for name in ids if not 0 < len(name.encode()) <= _LONGEST_ID), None)
        if long is not None:
            raise InputError(f"id {long[:40]!r}… has {len(long.encode())} bytes; 1 to {_LONGEST_ID} are possible.")
        plain = [json.loads(json.dumps(dict(row), default=sorted)) for row in extra]
        rows = [
            {"id": name, "vector": vector.tolist(), "metadata": values}
            for name, vector, values in zip(ids, vectors, plain, strict=True)
        ]
        with self._clear():
            for start in range(0, len(rows), _BATCH):
                self._client.upsert(self.collection, rows[start : start + _BATCH])

    def remove(self, ids: Iterable[str]) -> int:
        """Remove rows; ids that are not there are passed over. Returns how many went."""
        there = [row["id"] for row in self._get(sorted(set(ids)), "id")]
        with self._clear():
            for start in range(0, len(there), _BATCH):
                self._client.delete(self.collection, ids=there[start : start + _BATCH])
        return len(there)

    def close(self) -> None:
        """Let the connection or file go."""
        self._client.close()

    def _get(self, ids: Sequence[str], field: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        with self._clear():
            for start in range(0, len(ids), _BATCH):
                part = list(ids[start : start + _BATCH])
                rows += self._client.get(self.collection, ids=part, output_fields=["id", field])
        return rows

    @contextmanager
    def _clear(self) -> Iterator[None]:
        """What the library says, in one sentence that names the place."""
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            reason = str(error.message).splitlines()[0] if error.message else type(error).__name__
            raise InputError(f"Milvus at {self.address}, collection {self.collection!r}: {reason}") from error


def expression(where: Where | None) -> str:
    """The condition in Milvus' language; values are written as JSON, so none can break out of its place."""
    return " and ".join(f"({_condition(field, wanted)})" for field, wanted in (where or {}).items())


def _condition(field: str, wanted: Any) -> str:
    if not _FIELD.fullmatch(field):
        raise InputError(f"condition on {field!r}: use letters, digits, spaces and . : - _ in names of metadata.")
    name = f"metadata[{json.dumps(field, ensure_ascii=False)}]"
    if isinstance(wanted, Mapping):
        unknown = sorted(set(wanted) - {"min", "max"})
        if unknown or not wanted:
            raise InputError(f"condition on {field!r}: a range has min, max or both, not {unknown or 'neither'}.")
        limits = [("min", ">="), ("max", "<=")]
        parts = [f"{name} {sign} {_value(field, wanted[key])}" for key, sign in limits if wanted.get(key) is not None]
        return " and ".join(parts) or f"exists {name}"
    values = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    if not values:
        return 'id == ""'  # no value is allowed, and no id is empty
    written = [_value(field, value) for value in values]
    return " or ".join([*(f"{name} == {v}" for v in written), f"json_contains_any({name}, [{', '.join(written)}])"])


def _value(field: str, value: Any) -> str:
    if not isinstance(value, str | int | float | bool):
        raise InputError(f"condition on {field!r}: Milvus compares texts, numbers and truth values, not {value!r}.")
    return json.dumps(value, ensure_ascii=False)
