"""A database for the whole monitor, the sample server over real HTTP, a webhook receiver, and a clock."""

import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

# A Tuesday, 14:00 UTC: the hour for which the sample was written.
NOW = datetime(2026, 3, 3, 14, tzinfo=UTC)


class MovingClock:
    """A clock that only moves when told to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def moving() -> MovingClock:
    return MovingClock()


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "var"
    monkeypatch.setenv("HEADWATER_VAR", str(folder))
    monkeypatch.delenv("HEADWATER_DATABASE_URL", raising=False)
    return folder


@pytest.fixture(scope="session")
def sample_base() -> Iterator[str]:
    from verticals.finance.sample_feed import serve

    with serve(clock=lambda: NOW) as base:
        yield base


@pytest.fixture
def sample_site(sample_base: str, var: Path) -> SimpleNamespace:
    """The sample server's address and the settings that watch it."""
    from verticals.finance.settings import FinanceSettings

    port = int(sample_base.rpartition(":")[2])
    return SimpleNamespace(base=sample_base, port=port, settings=FinanceSettings(sample_port=port))


def _monitor(engine: Engine, port: int, clock: Any, **options: Any) -> Any:
    from verticals.finance.monitor import Monitor
    from verticals.finance.sample_truth import TruthLabeller
    from verticals.finance.settings import FinanceSettings

    chosen = {
        "settings": FinanceSettings(sample_port=port),
        "clock": clock,
        "make_labeller": lambda settings: TruthLabeller(),
        "draw": random.Random(5),
        **options,
    }
    return Monitor(engine, **chosen)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory, sample_base: str) -> dict[str, Path]:
    """Files to copy: the sample just polled, and labelled with its stories told; made once, through the product."""
    from core.operations.database import connect
    from core.operations.tables import metadata as core_tables
    from core.settings import Settings
    from verticals.finance import tables, watch
    from verticals.finance.alerts import tables as _alerts  # noqa: F401

    folder = tmp_path_factory.mktemp("finance")
    engine = connect(Settings(var=folder))
    core_tables.create_all(engine)
    tables.metadata.create_all(engine)
    port = int(sample_base.rpartition(":")[2])
    monitor = _monitor(engine, port, lambda: NOW)
    watch.register(engine, monitor.settings, NOW)
    monitor.poll()
    found = {}
    for name in ("polled", "labelled"):
        if name == "labelled":
            while monitor.label():
                pass
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        found[name] = Path(shutil.copy(folder / "headwater.db", folder / f"{name}.db"))
    monitor.close()
    engine.dispose()
    return found


@pytest.fixture(params=["empty"])
def finance_engine(
    request: pytest.FixtureRequest, var: Path, sample_site: Any, databases: dict[str, Path]
) -> Iterator[Engine]:
    """The product's database with all tables and the shipped sources; ``polled`` or ``labelled`` by parameter."""
    from verticals.finance.opening import open_store

    var.mkdir()
    if request.param != "empty":
        shutil.copy(databases[request.param], var / "headwater.db")
    made = open_store(sample_site.settings)
    yield made
    made.dispose()


@pytest.fixture
def make_monitor(finance_engine: Engine, sample_site: Any, moving: MovingClock) -> Iterator[Callable[..., Any]]:
    """``make_monitor(settings=…, send=…)``: a monitor on the sample's own labels, each as a new process would be."""
    made = []

    def make(**options: Any) -> Any:
        made.append(_monitor(finance_engine, sample_site.port, moving, **options))
        return made[-1]

    yield make
    for monitor in made:
        monitor.close()


class Receiver:
    """A webhook that remembers what it got; ``answers`` are the next status codes, then 204."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[int] = []
        self.url = ""

    @property
    def alerts(self) -> list[tuple[str, str, str]]:
        """Rule, subject and kind of every alert in every message, in their order."""
        return [
            (a["rule"], a["labels"].get(a["scope"], a["subject"]), a["kind"])
            for _, m in self.messages
            for a in m["alerts"]
        ]


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answers.pop(0) if receiver.answers else 204
            if status < 400:
                receiver.messages.append((self.headers["Idempotency-Key"], json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield receiver
    server.shutdown()
    server.server_close()
