"""Run a bulk job, or go on with one that was interrupted."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.bulk.computing import find_subject
from core.bulk.job import MANIFEST, Job, Receipt
from core.bulk.layout import SUFFIXES, Suffix, fingerprint, scan, suffix_of
from core.bulk.options import ADDED, ERROR, Options, Spread
from core.errors import InputError

Progress = Callable[[int, int, int], None]  # rows finished now, rows finished before this run, rows in all


@dataclass(frozen=True)
class Done:
    """A finished run; ``resumed`` rows had been finished before it, ``errors`` rows have a reason and no result."""

    out: Path
    rows: int
    resumed: int
    errors: int
    shards: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Of the rows that this run computed, loading the model included."""
        return (self.rows - self.resumed) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "out": str(self.out), "rows_per_second": round(self.rows_per_second, 1)}


def run(
    path: Path,
    out: Path,
    options: Options,
    spread: Spread = "local",
    workers: int = 1,
    format: Suffix = ".parquet",
    progress: Progress = lambda now, before, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Done:
    """Every row of ``path`` comes out once and in order, with the operation's columns and ``error`` added.

    ``out`` with the ending of a file becomes that file, joined at the end; without one, a folder of shards in
    ``format``. The same call goes on where a killed run stopped. Raises InputError when the input or the options have
    changed since, MissingExtra when ``spread`` is ray and Ray is not installed.
    """
    if spread == "ray":
        from core.bulk.cluster import require_ray

        require_ray()
    began = clock()
    single = out.suffix.lower() in SUFFIXES
    suffix = suffix_of(out) if single else format
    folder = out.with_name(f".{out.name}.shards") if single else out
    _check_places(path, out, folder, single)
    with _only_run(folder):
        job = _opened(path, folder, options, suffix)
        before = job.finished()
        receipts = {receipt.number: receipt for receipt in before}
        rows = sum(receipt.rows for receipt in before)
        progress(rows, rows, job.layout.rows)
        known = rows
        missing = [shard.number for shard in job.layout.shards if shard.number not in receipts]
        for receipt in _spread(folder, missing, spread, workers):
            receipts[receipt.number] = receipt
            known += receipt.rows
            progress(known, rows, job.layout.rows)
        lost = [shard.number for shard in job.layout.shards if shard.number not in receipts]
        if lost or len(job.finished()) != len(job.layout.shards):
            raise RuntimeError(f"{folder}: shards {lost[:5]} were not written")
        for left in folder.glob(".*.part"):  # of processes that were killed
            left.unlink(missing_ok=True)
        if single:
            _join(job, out)
    if single:
        shutil.rmtree(folder, ignore_errors=True)
    errors = sum(receipt.errors for receipt in receipts.values())
    return Done(out, job.layout.rows, rows, errors, len(job.layout.shards), clock() - began)


def _opened(path: Path, folder: Path, options: Options, suffix: Suffix) -> Job:
    if (folder / MANIFEST).is_file():
        job = Job.load(folder)
        job.check_same(path, options, suffix)
        now = find_subject(options.model_copy(update={"model": job.subject.reference}))
        if now.fingerprint != job.subject.fingerprint:
            raise InputError(f"the model {options.model} has changed since the run began; start again elsewhere.")
        return job
    subject = find_subject(options)
    marks = fingerprint(path)
    layout = scan(path, options.shard_rows, subject.columns)
    for name in (*ADDED[options.operation], ERROR):
        if name in layout.columns:
            raise InputError(f"{path} already has a column {name!r}; rename or remove it first.")
    job = Job(folder, path.resolve(), marks, layout, options, subject, suffix)
    job.check_input()  # it may have been written to while it was read
    job.save()
    return job


def _spread(folder: Path, missing: list[int], spread: Spread, workers: int) -> Iterator[Receipt]:
    if spread == "ray":
        from core.bulk.cluster import run_ray

        return run_ray(folder, missing, workers)
    from core.bulk.local import run_local

    return run_local(folder, missing, workers)


def _join(job: Job, out: Path) -> None:
    from core.bulk.work import empty_result
    from core.bulk.writing import join

    join([job.part(shard) for shard in job.layout.shards], out, job.suffix, empty_result(job))


def _check_places(path: Path, out: Path, folder: Path, single: bool) -> None:
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; make it first.")
    if single and out.exists() and not (folder / MANIFEST).is_file():
        raise InputError(f"{out} exists already; remove it or choose another name.")
    if not single and folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        ours = {".lock"} >= {entry.name for entry in folder.iterdir()}
        if not ours:
            raise InputError(f"{folder} is not empty and holds no bulk run; choose another place.")
    if not single and out.is_file():
        raise InputError(f"{out} is a file without a known ending; give {', '.join(SUFFIXES)} or a folder.")
    if single and out.absolute() == path.absolute():
        raise InputError(f"{out} is the input itself; choose another name.")


@contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """The sole right to the folder; a killed process lets go of it."""
    from filelock import FileLock, Timeout

    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process is at work in {folder}; wait for it.") from None
    try:
        yield
    finally:
        lock.release()
        if {entry.name for entry in folder.iterdir()} <= {".lock"}:  # nothing was begun
            shutil.rmtree(folder, ignore_errors=True)
