"""Inputs for bulk runs, and a run that needs no model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.bulk.options import Options

Read = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def read_rows() -> Read:
    """``read_rows(path)``: the rows of an output file, or of a folder of shards in order."""

    def read(path: Path) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        if path.is_dir():
            return [row for part in sorted(path.glob("part-*")) for row in read(part)]
        if path.suffix == ".parquet":
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
            return rows
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        import csv

        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))

    return read


@pytest.fixture
def options(tiny_model: Path) -> Callable[..., Options]:
    """``options(…)``: predict with the small tuned classifier, ten rows a shard."""

    def make(**changes: Any) -> Options:
        return Options(**{"operation": "predict", "model": str(tiny_model), "shard_rows": 10, **changes})

    return make
