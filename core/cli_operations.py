"""Commands that keep things running: the worker, and everything under one supervisor. Imported when one is called."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit


@click.command()
@click.option("--once", is_flag=True, help="Run every job once, one after another, and end.")
@click.option("--status", "show_status", is_flag=True, help="Say how the worker is doing, and end: exit 1 if none is.")
@click.option("--beat", type=click.Path(path_type=Path), help="Touch this file at each heartbeat.")
@as_json
def worker(once: bool, show_status: bool, beat: Path | None, as_json: bool) -> None:
    """Run the applications' scheduled jobs until Ctrl-C; beside an active worker, stand by."""
    from sqlalchemy import MetaData

    from core.operations import worker as work
    from core.operations.database import open_database

    engine = open_database(MetaData())
    if show_status:
        found = work.status(engine)
        emit(found.to_dict(), as_json, _worker_text)
        raise click.exceptions.Exit(0 if found.active else 1)
    jobs, broken = work.installed_jobs()
    if once:
        results = work.Worker(engine, jobs, broken).run_once()
        emit(work.status(engine).to_dict(), as_json, _worker_text)
        raise click.exceptions.Exit(0 if all(results.values()) and not broken else 1)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("headwater").setLevel(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    found_worker = work.Worker(engine, jobs, broken)
    code = found_worker.serve(stop, beat)
    if found_worker.running:
        logging.shutdown()
        os._exit(code)  # a job's thread would keep the process; what it did not commit is left to the next run
    raise click.exceptions.Exit(code)


def _worker_text(found: dict[str, Any]) -> str:
    first = f"active: {found['holder']}, heartbeat {found['heartbeat']}" if found["active"] else "no worker is active"
    lines = [
        f"{job['vertical'] + '.' + job['job']:<28} every {job['seconds']:g} s  runs {job['runs']}"
        f"  last {(job['succeeded'] or 'never')[:19]}  next {(job['next_run'] or '-')[:19]}"
        + (f"  failed {job['in_a_row']} times: {job['error']}" if job["in_a_row"] else "")
        for job in found["jobs"]
    ]
    return "\n".join([first, *lines])
