"""Shards on this machine: in this process, or in several that each hold the model."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from core.bulk.job import Receipt
from core.bulk.work import Worker

_AHEAD = 2  # shards handed out a worker: the next is at hand when one is finished, and no long queue is built
_worker: Worker | None = None  # a pool's process has no other place for what it made at its start


def run_local(folder: Path, numbers: Sequence[int], workers: int) -> Iterator[Receipt]:
    """Receipts as the shards are finished. Raises what a worker raised."""
    if workers <= 1 or len(numbers) <= 1:
        if numbers:
            worker = Worker(folder)
            yield from (worker.run(number) for number in numbers)
        return
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

    workers = min(workers, len(numbers))
    coming = iter(numbers)
    # spawn, not fork: torch and tokenizers keep threads that a forked process would wait for in vain.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _open, (str(folder), os.getpid(), threads_each(workers))) as pool:
        running = {pool.submit(_run, number) for number in islice(coming, workers * _AHEAD)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    following = next(coming, None)
                    if following is not None:
                        running.add(pool.submit(_run, following))
        finally:
            for future in running:
                future.cancel()


def threads_each(workers: int) -> int:
    """Threads a worker may compute on, so that all together keep this machine's CPUs busy."""
    from core.serving.threads import available_cpus

    return max(1, available_cpus() // workers)


def _open(folder: str, parent: int, threads: int) -> None:
    global _worker
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from core.serving.threads import use_available_cpus

    use_available_cpus()
    _worker = Worker(Path(folder))


def _run(number: int) -> Receipt:
    if _worker is None:
        raise RuntimeError("the worker has not been opened")
    return _worker.run(number)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, also one that was killed and could not say so."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
