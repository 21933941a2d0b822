"""Load, soak and faults over everything that ``headwater up`` runs: ``python -m benchmarks.load``.

Three applications and the worker run in a folder of their own. Clients send mixed traffic to all three APIs while the
worker polls; in the middle another version of the model that answers is promoted. Then each process is killed (SIGKILL)
in turn under the same traffic. Every article pushed and every event appended that was answered with success is looked
for in the database at the end. The texts are the shipped, synthetic samples. Traffic, servers and worker share this
machine's cores.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.load_processes import Memory, Processes
from benchmarks.load_traffic import API, Traffic
from benchmarks.table_load import load_table
from core.settings import PROJECT_ROOT, Settings

MODEL = "load-intents"


@contextlib.contextmanager
def everything(var: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """``headwater up`` on ``var`` with two versions of a model registered; healthy when it is handed out."""
    from core.serving.registry import Registry

    registry = Registry(Settings(var=var))
    for _ in range(2):
        registry.register(MODEL, PROJECT_ROOT / "data" / "adapters" / "banking-intents", {}, "", "load")
    environment = {**os.environ, "HEADWATER_VAR": str(var), "HEADWATER_API_RATE": "1000000/second"}
    with (var / "up.log").open("wb") as log:
        command = [sys.executable, "-m", "core.cli", "up"]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
            try:
                Processes(process.pid).wait_healthy(600)
                yield process
            finally:
                process.terminate()
                process.wait(60)


def soak(traffic: Traffic, processes: Processes, seconds: float, var: Path) -> dict[str, Any]:
    """Traffic for ``seconds`` with a promotion in the middle; latency, errors, memory of each process."""
    from core.serving.registry import Registry

    memory, began, promoted = Memory(processes), time.monotonic(), None
    with traffic.running():
        while (passed := time.monotonic() - began) < seconds:
            time.sleep(min(5.0, seconds - passed))
            memory.sample()
            if promoted is None and passed > seconds / 2:
                Registry(Settings(var=var)).promote(MODEL, 2)
                promoted = passed
    return {
        "seconds": time.monotonic() - began,
        "promoted_after_s": promoted,
        **traffic.summary(),
        "memory": memory.summary(),
    }


def faults(traffic: Traffic, processes: Processes) -> list[dict[str, Any]]:
    """Kill each process in turn under traffic that tries again; seconds until it was healthy again."""
    found = []
    with traffic.running(patient=True):
        for name in processes.names():
            time.sleep(3)
            before = len(traffic.done)
            took = processes.kill(name)
            time.sleep(3)
            tried_again = sum(one.tries > 1 for one in traffic.done[before:])
            found.append({"process": name, "recovered_s": took, "requests_tried_again": tried_again})
            print(f"{name}: healthy again after {took:.1f} s", file=sys.stderr, flush=True)
    return found


def lost(traffic: Traffic, var: Path) -> dict[str, Any]:
    """What was answered with success and is not in the database, or is there twice."""
    from sqlalchemy import func, select

    from core.operations.database import open_database
    from verticals.finance import tables as finance
    from verticals.recommend import tables as recommend

    engine = open_database(finance.metadata, Settings(var=var))

    def times(column: Any, like: str) -> dict[str, int]:
        counted = select(column, func.count()).where(column.like(like)).group_by(column)
        with engine.connect() as connection:
            return {str(value): int(count) for value, count in connection.execute(counted)}

    titles, users = times(finance.articles.c.title, "%(load %)"), times(recommend.events.c.user, "load-%")
    return {
        "articles": {"answered": len(traffic.pushed), **_missing(traffic.pushed, titles)},
        "events": {"answered": len(traffic.appended), **_missing(traffic.appended, users)},
    }


def _missing(wanted: Sequence[str], found: dict[str, int]) -> dict[str, int]:
    return {
        "lost": sum(one not in found for one in wanted),
        "twice": sum(found.get(one, 0) > 1 for one in wanted),
    }


def measure(seconds: float, clients: int) -> dict[str, Any]:
    """Soak, then faults, then the count of what was lost."""
    with tempfile.TemporaryDirectory(prefix="headwater-load-") as folder:
        var = Path(folder)
        with everything(var) as process:
            processes = Processes(process.pid)
            soaking = Traffic(clients, MODEL)
            found: dict[str, Any] = {"clients": clients, "soak": soak(soaking, processes, seconds, var)}
            broken = Traffic(clients, MODEL, first=len(soaking.done) + clients)
            found["faults"] = faults(broken, processes)
            found["under_faults"] = broken.summary()
            found["lost"] = {"soak": lost(soaking, var), "faults": lost(broken, var)}
            found["restarts"] = processes.restarts
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of the soak")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--out", type=Path, default=store.RESULTS / "load.json")
    parser.add_argument("--fresh", action="store_true", help="measure again what is finished")
    options = parser.parse_args(arguments)
    key = store.key_of("load 1", options.seconds, options.clients)
    store.part(options.out, "load", key, lambda: measure(options.seconds, options.clients), options.fresh)
    print(load_table(options.out.parent))
    print(f"\nWritten to {options.out}; the API was at {API}.", file=sys.stderr)


if __name__ == "__main__":
    main()
