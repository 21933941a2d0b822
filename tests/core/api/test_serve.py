"""The process: where it may listen, how it stops, and the commands around it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import uvicorn
from fastapi import APIRouter

from core.api.app import create_app
from core.api.config import ApiSettings
from core.api.keys import Keys
from core.api.serve import Server, check_bind, listen
from core.cli import main
from core.errors import InputError
from core.settings import get_settings
from core.vertical import Vertical


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_no_other_address_without_a_key(keys: Keys, host: str) -> None:
    with pytest.raises(InputError, match="headwater keys create NAME --role agent"):
        check_bind(host, keys)
    keys.create("a", "agent")
    check_bind(host, keys)
    keys.revoke("a")
    with pytest.raises(InputError, match="keys create"):
        check_bind(host, keys)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_none(keys: Keys, host: str) -> None:
    check_bind(host, keys)


def test_a_port_in_use() -> None:
    with listen("127.0.0.1", 0) as bound:
        bound.listen()
        with pytest.raises(InputError, match=f"127.0.0.1:{bound.getsockname()[1]} .*in use.*--port"):
            listen("127.0.0.1", bound.getsockname()[1])
    with pytest.raises(InputError, match="cannot listen"):
        listen("192.0.2.1", 0)


def test_what_is_under_way_is_answered_before_the_end() -> None:
    entered, go = threading.Event(), threading.Event()

    def routes() -> APIRouter:
        router = APIRouter(prefix="/v1/slow")

        @router.get("/answer")
        def answer() -> dict[str, str]:
            entered.set()
            assert go.wait(60)
            return {"answer": "late but whole"}

        return router

    app = create_app(get_settings(), [Vertical("slow", "", routes=routes)], ApiSettings())
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    server = Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=60))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    serving.start()
    while not server.started:
        time.sleep(0.01)
    found: list[Any] = []
    url = f"http://127.0.0.1:{port}/v1/slow/answer"
    asking = threading.Thread(target=lambda: found.append(requests.get(url, timeout=60)), daemon=True)
    asking.start()
    assert entered.wait(60)
    server.should_exit = True
    while _accepts(port):
        time.sleep(0.01)
    go.set()
    asking.join()
    serving.join()
    assert found[0].json() == {"answer": "late but whole"}


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "core.cli", "api", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HEADWATER_API_RATE": "1000/second"},
    )


@pytest.fixture
def process() -> "Iterator[subprocess.Popen[str]]":
    started = _start("--port", "0")
    yield started
    started.kill()
    started.wait()


def test_the_command_serves_and_stops_cleanly(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None and process.stdout is not None
    before = []
    for line in process.stderr:
        if line.startswith("API on http://127.0.0.1:"):
            url = line.split()[-1]
            break
        before.append(json.loads(line))
    answer = requests.get(f"{url}/healthz", timeout=60, headers={"X-Request-ID": "x1"})
    assert answer.json() == {"status": "ok"} and answer.headers["x-request-id"] == "x1"
    assert "server" not in answer.headers
    # Ten megabytes are refused while the client still sends; it gets to read why.
    big = requests.post(f"{url}/v1/predict", data=b"a" * 10_000_000, timeout=60)
    assert big.status_code == 413 and big.headers["content-type"] == "application/problem+json"
    # The Host of a page that had its name pointed here.
    assert requests.get(f"{url}/v1/models", headers={"Host": "evil.example"}, timeout=60).status_code == 401
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out == ""
    lines = [*before, *(json.loads(line) for line in err.splitlines())]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 413, 401]


def test_keys_on_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "widget", "--role", "agent", "--json"]) == 0
    made = json.loads(capfd.readouterr().out)
    assert made["key"].startswith(f"hw_{made['id']}_") and made["role"] == "agent"
    assert main(["keys", "list", "--json"]) == 0
    listed = capfd.readouterr().out
    assert [row["name"] for row in json.loads(listed)] == ["widget"] and made["key"] not in listed
    assert main(["keys", "revoke", "widget"]) == 0
    assert main(["keys", "list"]) == 0
    assert "revoked" in capfd.readouterr().out
    assert main(["keys", "revoke", "widget"]) == 2
    assert main(["keys", "create", "x", "--role", "root"]) == 2
    assert main(["api", "--host", "0.0.0.0"]) == 2
    assert "headwater keys create NAME --role agent" in capfd.readouterr().err


def test_roles_offered_are_the_roles_there_are() -> None:
    from core.api.keys import ROLES
    from core.cli_serve import ROLES as offered

    assert offered == ROLES


def test_a_bad_rate_is_wrong_use(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_API_RATE", "often")
    assert main(["api", "--port", "0"]) == 2
    assert "20/second" in capfd.readouterr().err
    monkeypatch.setenv("HEADWATER_API_RATE", "20/second")
    monkeypatch.setenv("HEADWATER_API_QUEUE", "many")
    assert main(["api", "--port", "0"]) == 2
    assert "HEADWATER_API_QUEUE" in capfd.readouterr().err


def test_listing_commands_stays_light() -> None:
    code = "import sys; from core.cli import main; main(['--help']); print(*({'fastapi'} & {*sys.modules}), '|')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "|"
    assert "  api " in done.stdout and "  keys " in done.stdout
