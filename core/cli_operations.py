"""Commands that keep things running: the worker, and everything under one supervisor. Imported when one is called."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any

import click

from core.cli import as_json, emit
from core.errors import InputError


@click.command()
@click.option("--once", is_flag=True, help="Run every job once, one after another, and end.")
@click.option("--status", "show_status", is_flag=True, help="Say how the worker is doing, and end: exit 1 if none is.")
@click.option("--beat", type=click.Path(path_type=Path), help="Touch this file at each heartbeat.")
@as_json
def worker(once: bool, show_status: bool, beat: Path | None, as_json: bool) -> None:
    """Run the applications' scheduled jobs until Ctrl-C; beside an active worker, stand by."""
    from sqlalchemy import MetaData

    from core.operations import tracing
    from core.operations import worker as work
    from core.operations.database import open_database

    engine = open_database(MetaData())
    traces = None if show_status else tracing.from_environment("worker")
    span = tracing.no_span if traces is None else traces.job
    if show_status:
        found = work.status(engine)
        emit(found.to_dict(), as_json, _worker_text)
        raise click.exceptions.Exit(0 if found.active else 1)
    jobs, broken = work.installed_jobs()
    if once:
        results = work.Worker(engine, jobs, broken, span=span).run_once()
        if traces is not None:
            traces.close()
        emit(work.status(engine).to_dict(), as_json, _worker_text)
        raise click.exceptions.Exit(0 if all(results.values()) and not broken else 1)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("headwater").setLevel(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    found_worker = work.Worker(engine, jobs, broken, span=span)
    code = found_worker.serve(stop, beat)
    if traces is not None:
        traces.close()
    if found_worker.running:
        logging.shutdown()
        os._exit(code)  # a job's thread would keep the process; what it did not commit is left to the next run
    raise click.exceptions.Exit(code)


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Say how everything is: worker, jobs, queues, last training; exit 1 when something needs to be seen to."""
    from sqlalchemy import MetaData

    from core.operations.database import open_database
    from core.operations.status import status as ask
    from core.operations.status import text
    from core.settings import get_settings

    settings = get_settings()
    found = ask(open_database(MetaData(), settings), settings)
    emit(found.to_dict(), as_json, text)
    raise click.exceptions.Exit(0 if found.ok else 1)


@click.command()
@click.option("--check", is_flag=True, help="Start everything, wait until healthy, print the status as JSON, stop.")
@click.option("--only", multiple=True, metavar="APPLICATION", help="Leave out the other applications; repeatable.")
@click.option(
    "--port", "ports", multiple=True, metavar="NAME=PORT", help="Another port, as in support=9501 or api=9000."
)
@click.option("--address", help="Listen here; 127.0.0.1 unless given. Anywhere else people have to sign in.")
def up(check: bool, only: tuple[str, ...], ports: tuple[str, ...], address: str | None) -> None:
    """Run everything that is installed, under one supervisor, until Ctrl-C."""
    import json

    from core.operations.plan import UpSettings, make_plan
    from core.operations.up import Supervisor
    from core.settings import get_settings

    settings, up_settings = get_settings(), UpSettings()
    given = {**up_settings.ports, **dict(_port(text) for text in ports)}
    up_settings = up_settings.model_copy(update={"ports": given, "address": address or up_settings.address})
    running = Supervisor(make_plan(settings, up_settings, only), settings, up_settings, _tell)
    running.check()
    stop, at_once = threading.Event(), threading.Event()

    def interrupt(*_: Any) -> None:
        if stop.is_set():
            at_once.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        running.start(stop)
        if not check and not stop.is_set():
            for name, url in running.urls().items():
                click.echo(f"  {name:<20} {url}", err=True)
            click.echo("everything is running; Ctrl-C stops it." if running.healthy else _problem(running), err=True)
            while not stop.wait(0.5) and not running.over:
                pass
        status = running.to_dict()
    finally:
        if not check:
            click.echo("stopping …", err=True)
        running.stop(at_once)
    if check:
        emit(status, True, json.dumps)
        raise click.exceptions.Exit(0 if status["healthy"] else 1)
    failed = any(child.state == "failed" for child in running.children.values())
    raise click.exceptions.Exit(1 if failed else 0)


def _problem(running: Any) -> str:
    names = [name for name, child in running.children.items() if child.state != "healthy"]
    names += [f"{name} (left out)" for name in running.plan.broken]
    names += [f"{name} (not prepared)" for name, one in running.prepared.items() if not one.ok]
    return f"not everything is well: {', '.join(names)}; see above. Ctrl-C stops what runs."


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name or not number.isdigit() or not 0 < int(number) < 65536:
        raise InputError(f"--port {text!r}: write it as NAME=PORT with a port from 1 to 65535.")
    return name, int(number)


def _tell(name: str, line: str) -> None:
    click.echo(f"{name}: {line}", err=True)


def _worker_text(found: dict[str, Any]) -> str:
    first = f"active: {found['holder']}, heartbeat {found['heartbeat']}" if found["active"] else "no worker is active"
    lines = [
        f"{job['vertical'] + '.' + job['job']:<28} every {job['seconds']:g} s  runs {job['runs']}"
        f"  last {(job['succeeded'] or 'never')[:19]}  next {(job['next_run'] or '-')[:19]}"
        + (f"  failed {job['in_a_row']} times: {job['error']}" if job["in_a_row"] else "")
        for job in found["jobs"]
    ]
    return "\n".join([first, *lines])
