"""Shards over a Ray cluster: Ray Data with a pool of actors that each hold the model.

Only shard numbers and receipts travel through Ray. Actors read the input and write their shards themselves, so both
must be on storage that every machine sees under the same path, and the product must be installed on each.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.bulk.job import Receipt
from core.errors import InputError, MissingExtra

_BLOCKS = 20_000  # shards beyond that share a block; more would burden the cluster's head


def require_ray() -> None:
    """Raise MissingExtra unless Ray is installed."""
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra("bulk --engine ray", "pip install 'headwater[ray]'")


def run_ray(folder: Path, numbers: Sequence[int], workers: int) -> Iterator[Receipt]:
    """Receipts as the shards are finished, by the cluster at RAY_ADDRESS or a Ray of our own on this machine."""
    require_ray()
    if not numbers:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    from core.bulk.local import threads_each

    workers = min(workers, len(numbers))
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, workers)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        tasks = ray.data.from_items(
            [{"number": number} for number in numbers], override_num_blocks=min(len(numbers), _BLOCKS)
        )
        threads = None if os.environ.get("RAY_ADDRESS") else threads_each(workers)
        receipts = tasks.map_batches(
            _Actor,
            fn_constructor_args=(str(folder.resolve()), threads),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            # Ray hides the GPUs from an actor that asks for none.
            num_gpus=1 if ray.cluster_resources().get("GPU", 0) >= workers else None,
        )
        for row in receipts.iter_rows():
            yield Receipt(int(row["number"]), int(row["rows"]), int(row["errors"]), float(row["seconds"]))
    except Exception as error:
        mended = _mended(error)
        if mended is None:
            raise
        raise mended from None
    finally:
        if ours:
            ray.shutdown()


def _mended(error: BaseException) -> InputError | None:
    """The sentence for the user inside what Ray wrapped around it with the traceback of another process."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        if type(inner) is InputError:
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return None


def _connect(ray: Any, workers: int) -> None:
    import logging

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        try:
            _reach(address)
            ray.init(**quiet)  # it reads the address itself
        except (OSError, ValueError):
            raise InputError(
                f"no Ray cluster at RAY_ADDRESS={address} lets us in; see whether it runs, and if it asks for a token, "
                "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) here, too."
            ) from None
        return
    # One CPU more than actors: Ray Data's own tasks need one, too.
    ray.init(address="local", num_cpus=max(os.cpu_count() or 1, workers + 1), include_dashboard=False, **quiet)


def _reach(address: str, timeout_s: float = 10) -> None:
    """Raises OSError where nothing listens: Ray itself would try again for minutes."""
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(address if "//" in address else f"//{address}")
    if place.hostname and place.port:  # "auto" and "local" name no place
        socket.create_connection((place.hostname, place.port), timeout_s).close()


class _Actor:
    """Holds one worker; Ray Data calls it with batches of one shard number."""

    def __init__(self, folder: str, threads: int | None) -> None:
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(threads)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from core.bulk.work import Worker
        from core.serving.threads import use_available_cpus

        use_available_cpus()
        self.worker = Worker(Path(folder))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        done = [self.worker.run(int(number)) for number in batch["number"]]
        names = ("number", "rows", "errors", "seconds")
        return {name: [getattr(receipt, name) for receipt in done] for name in names}
