"""A webhook's address is a secret: whatever the receiver does, it stands in no error, no log and no table."""

import logging
import random
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import Engine, select

from verticals.finance.alerts import tables
from verticals.finance.alerts.channels import send
from verticals.finance.alerts.delivery import deliver
from verticals.finance.alerts.rules import Receiver, RuleBook
from verticals.finance.alerts.states import Observation
from verticals.finance.alerts.store import Target, evaluate

TOKEN = "T0KEN-that-opens-the-channel"


@pytest.fixture
def answering() -> Iterator[Callable[[int], str]]:
    """``answering(404)`` is the address, with the token in it, of a server that answers so."""
    running: list[HTTPServer] = []

    def serve(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                self.send_header("location", f"/elsewhere/{TOKEN}")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        running.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}/hook/{TOKEN}?key={TOKEN}"

    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


def a_port_nobody_listens_on() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("status", [302, 404, 500, None])
def test_the_address_is_told_to_nobody(
    status: int | None,
    answering: Callable[[int], str],
    engine: Engine,
    book: RuleBook,
    now: datetime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    url = f"http://127.0.0.1:{a_port_nobody_listens_on()}/{TOKEN}" if status is None else answering(status)
    desk = book.model_copy(update={"receivers": (Receiver(name="desk", url=url),)})
    evaluate(
        engine,
        desk,
        [(Target(desk.rules[0], "Energy", {}), Observation(now, anomaly=True, score=0.99, stories=9))],
        now,
    )
    assert deliver(engine, desk, now, "w1", send, random.Random(1)).failed == 1
    with engine.connect() as connection:
        why = connection.execute(select(tables.outbox.c.last_error)).scalar_one()
        rows = str(connection.execute(select(tables.outbox)).all())
    assert why.startswith(
        "RuntimeError: the receiver " + ("cannot be reached" if status is None else f"answered {status}")
    )
    assert TOKEN not in rows + caplog.text + repr(desk)


def test_a_receiver_that_takes_it(
    answering: Callable[[int], str], book: RuleBook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    alert = {
        "dedupe_key": "k", "severity": "info", "title": "Surge", "subject": "Energy", "kind": "firing", "reason": "",
        "started": None, "evidence": [],
    }  # fmt: skip
    send(Receiver(name="desk", url=answering(204)), "g", [alert])
    assert TOKEN not in caplog.text
