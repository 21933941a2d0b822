"""One worker: it opens the model once and turns shards of the input into shards of the output."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bulk.computing import added_fields, one_by_one, open_computation
from core.bulk.job import Job, Receipt
from core.bulk.layout import Shard
from core.bulk.options import ERROR
from core.bulk.reading import Rows, read_shard, schema, texts_of
from core.bulk.writing import write_table

if TYPE_CHECKING:
    import pyarrow as pa


class Worker:
    """Made once a process; ``run`` may be called for any shards in any order."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        """``folder``: the run's. The model is loaded here."""
        self.job, self.clock = Job.load(folder), clock
        self.compute = open_computation(self.job.options, self.job.subject)
        self.added = added_fields(self.job.options, self.job.subject)

    def run(self, number: int) -> Receipt:
        """Compute one shard and put it in place. Raises InputError when the input has changed."""
        from core.evaluation.files import write_json

        began, job = self.clock(), self.job
        job.check_input()
        shard: Shard = job.layout.shards[number]
        rows = read_shard(job.path, job.layout, shard)
        table = self._answered(rows)
        errors = table.num_rows - table.column(ERROR).null_count
        receipt = Receipt(number, table.num_rows, errors, self.clock() - began)
        write_json(job.receipt(number), asdict(receipt))
        write_table(table, job.part(shard), job.suffix)
        return receipt

    def _answered(self, rows: Rows) -> "pa.Table":
        errors = list(rows.errors)
        texts = []
        for name in self.job.subject.columns:
            holds_json = (rows.table.schema.field(name).metadata or {}).get(b"holds") == b"json"
            column, wrong = texts_of(rows.table.column(name), holds_json, name)
            texts.append(column)
            errors = [before or found for before, found in zip(errors, wrong, strict=True)]
        asked = [row for row, error in enumerate(errors) if error is None]
        values = self._computed([[column[row] for row in asked] for column in texts], asked, errors)
        return with_results(rows.table, self.added, values, errors)

    def _computed(self, texts: list[list[str]], asked: list[int], errors: list[str | None]) -> list[list[Any]]:
        """A column of results for each added field, one value a row of the shard; ``errors`` is added to."""
        failed: list[str | None] = [None] * len(asked)
        found = one_by_one(self.compute, texts, failed)
        answered = [row for row, error in zip(asked, failed, strict=True) if error is None]
        for row, error in zip(asked, failed, strict=True):
            errors[row] = error
        columns: list[list[Any]] = [[None] * len(errors) for _ in self.added]
        for column, results in zip(columns, found, strict=False):
            for row, value in zip(answered, results, strict=True):
                column[row] = value
        return columns


def with_results(
    table: "pa.Table", added: Sequence["pa.Field"], values: Sequence[Sequence[Any]], errors: Sequence[str | None]
) -> "pa.Table":
    """The input's columns, the results, and ``error``."""
    import pyarrow as pa

    for field, column in zip(added, values, strict=True):
        table = table.append_column(field, pa.array(column, field.type))
    return table.append_column(pa.field(ERROR, pa.string()), pa.array(errors, pa.string()))


def empty_result(job: Job) -> "pa.Table":
    """A table with the output's columns and no row."""
    added = added_fields(job.options, job.subject)
    return with_results(schema(job.layout, job.path).empty_table(), added, [[] for _ in added], [])
