"""The supervisor: order, health, restarts, giving up, and no process that outlives it."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.cli import main
from core.errors import InputError
from core.operations.child import Child, Patience, Spec
from core.operations.logs import Log
from core.operations.plan import UpSettings, check_ports, make_plan
from core.operations.up import Plan, Supervisor
from core.settings import PROJECT_ROOT, get_settings
from core.vertical import Process, Vertical

PATIENCE = 60
QUICK = Patience(tries=3, backoff_s=0.01, most_s=0.05, settled_s=60, check_s=0.02, watch_s=0.05, unhealthy_checks=2)
PYTHON = ("{python}", "-I", "-S", "-c")


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Told(list[tuple[str, str]]):
    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def text(self) -> str:
        return "\n".join(f"{name}: {line}" for name, line in self)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def start(tmp_path: Path, told: Told) -> Iterator[Callable[..., Child]]:
    """Start a child that runs Python code; all are ended with the test."""
    made: list[Child] = []

    def begin(code: str, patience: Patience = QUICK, **options: object) -> Child:
        spec = Spec("child", (*PYTHON, textwrap.dedent(code)), **options)  # type: ignore[arg-type]
        child = Child(spec, tmp_path / "logs", dict(os.environ), told, patience)
        made.append(child)
        child.start()
        return child

    yield begin
    for child in made:
        child.kill()
        child.join(PATIENCE)


def pids(path: Path, count: int) -> list[int]:
    """The process ids that code under test has written there, a line each."""
    until(lambda: path.exists() and len(path.read_text().split()) >= count and path.read_text().endswith("\n"))
    return [int(pid) for pid in path.read_text().split()]


# --- one child ------------------------------------------------------------------------------------------


def test_healthy_then_stopped(start: Callable[..., Child], told: Told, tmp_path: Path) -> None:
    child = start("import time; print('hello', flush=True); time.sleep(600)", healthy=lambda: True, url="http://here")
    assert child.settled.wait(PATIENCE)
    assert child.to_dict() | {"seconds": 0} == {
        "state": "healthy", "url": "http://here", "seconds": 0, "restarts": 0, "reason": None,
    }  # fmt: skip
    until(lambda: "hello" in (tmp_path / "logs" / "child.log").read_text())
    child.ask_to_stop()
    child.join(PATIENCE)
    assert child.state == "stopped" and told.text() == "child: healthy on http://here"


def test_what_dies_is_started_again(start: Callable[..., Child], told: Told, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    code = f"import os, time; open({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    child = start(code, healthy=lambda: True)
    first = pids(mark, 1)[0]
    os.kill(first, signal.SIGKILL)
    second = pids(mark, 2)[1]
    until(lambda: child.state == "healthy" and child.restarts == 1)
    assert gone(first) and not gone(second)
    assert "ended with exit code 137; starting it again" in told.text()


def test_what_always_dies_is_given_up_with_its_last_words(start: Callable[..., Child], told: Told) -> None:
    child = start("raise SystemExit('no such table')", healthy=lambda: False)
    child.join(PATIENCE)
    assert (child.state, child.restarts) == ("failed", 2)
    assert child.settled.is_set()
    assert "given up after 3 tries: ended with exit code 1 (no such table); see " in told.text()


def test_what_cannot_be_started_says_so(tmp_path: Path, told: Told) -> None:
    child = Child(Spec("child", ("/no/such/program",)), tmp_path, dict(os.environ), told, QUICK)
    child.start()
    child.join(PATIENCE)
    assert child.state == "failed" and "/no/such/program: No such file" in str(child.reason)


def test_what_stops_answering_is_started_again(start: Callable[..., Child], told: Told, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    code = f"import os, time; open({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    hung = threading.Event()
    child = start(code, healthy=lambda: not hung.is_set())
    first = pids(mark, 1)[0]
    until(lambda: child.state == "healthy")
    hung.set()
    until(lambda: gone(first))
    hung.clear()
    pids(mark, 2)
    until(lambda: child.state == "healthy")
    assert "it runs but no longer answers" in told.text()


def test_errors_are_shown_and_the_rest_only_kept(start: Callable[..., Child], told: Told, tmp_path: Path) -> None:
    start(
        """
        import sys, time
        print("2026-01-01 INFO all is well")
        print('{"event": "x", "level": "error"}')
        print("ValueError: no", file=sys.stderr)
        print("the word error in a sentence")
        sys.stdout.flush()
        time.sleep(600)
        """
    )
    log = tmp_path / "logs" / "child.log"
    until(lambda: log.exists() and "sentence" in log.read_text())
    assert {line for _, line in told if "healthy" not in line} == {
        '{"event": "x", "level": "error"}', "ValueError: no",
    }  # fmt: skip
    assert "all is well" in log.read_text()


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
code += "open({mark!r}, 'a').write(str(os.getpid()) + chr(10)); time.sleep(600)"
subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
open({mark!r}, "a").write(str(os.getpid()) + chr(10))
time.sleep(600)
"""


def test_a_stubborn_child_and_its_children_are_killed(start: Callable[..., Child], tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    child = start(STUBBORN.format(mark=str(mark)), stop_s=0.3)
    found = pids(mark, 2)
    child.ask_to_stop()
    child.join(PATIENCE)
    until(lambda: all(gone(pid) for pid in found))


def test_at_once_does_not_wait(start: Callable[..., Child], tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    child = start(STUBBORN.format(mark=str(mark)), stop_s=3600)
    found = pids(mark, 2)
    child.ask_to_stop()
    child.kill()
    child.join(PATIENCE)
    assert not child.is_alive()
    until(lambda: all(gone(pid) for pid in found))


def test_what_a_child_leaves_behind_is_ended(start: Callable[..., Child], tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    code = STUBBORN.format(mark=str(mark)).replace("time.sleep(600)\n", "", 1)
    code += f"\nwhile open({str(mark)!r}).read().count(chr(10)) < 2: time.sleep(0.01)\n"
    code = code.replace('open({mark!r}, "a")', "open(0)")
    start(code.replace("time.sleep(600)\n", ""), Patience(tries=1))
    found = pids(mark, 2)
    until(lambda: all(gone(pid) for pid in found))


KILLED = """
import os, sys, threading, time
from pathlib import Path
sys.path.insert(0, {root!r})
from core.operations.child import Child, Spec
spec = Spec("child", ("{{python}}", "-I", "-S", "-c", {code!r}), stop_s=0.3)
child = Child(spec, Path({logs!r}), dict(os.environ), lambda *_: None)
child.start()
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["supervisor", "leash"])
def test_nobody_outlives_a_kill(victim: str, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    code = f"import os, time; open({str(mark)!r}, 'a').write(str(os.getpid()) + chr(10)); time.sleep(600)"
    if victim == "supervisor":
        code = STUBBORN.format(mark=str(mark))
    script = KILLED.format(root=str(PROJECT_ROOT), code=code, logs=str(tmp_path / "logs"))
    supervisor = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        found = pids(mark, 2 if victim == "supervisor" else 1)
        leash = psutil.Process(found[-1]).parent() if victim == "leash" else psutil.Process(supervisor.pid)
        assert leash is not None
        leash.kill()
        until(lambda: all(gone(pid) for pid in found))
    finally:
        supervisor.kill()
        supervisor.wait()


def test_logs_turn_over(tmp_path: Path) -> None:
    log = Log(tmp_path / "x.log", max_bytes=100, kept=2)
    for number in range(30):
        log.write(b"line %03d\n" % number)
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["x.log", "x.log.1", "x.log.2"]
    lines = b"".join((tmp_path / name).read_bytes() for name in reversed(files)).split(b"\n")
    assert lines[-2] == b"line 029" and all((tmp_path / name).stat().st_size <= 100 for name in files)
    assert [line for line in lines if line] == [b"line %03d" % n for n in range(30 - len(lines) + 1, 30)]


# --- the plan -------------------------------------------------------------------------------------------


def plan(up: UpSettings | None = None, only: tuple[str, ...] = (), **verticals: Vertical) -> Plan:
    return make_plan(
        get_settings(), up or UpSettings(), only, {name: lambda v=vertical: v for name, vertical in verticals.items()}
    )


def board(name: str, port: int | None = None, **others: object) -> Vertical:
    return Vertical(name, "", dashboard=f"dashboards/{name}.py", port=port, **others)  # type: ignore[arg-type]


def test_the_order_and_the_ports() -> None:
    feed = Process("feed", ["{python}", "-m", "feed"], "http://127.0.0.1:8590/", 8590)
    made = plan(shop=board("shop"), toys=board("toys", 8501), feeds=Vertical("feeds", "", processes=lambda: [feed]))
    assert [(spec.name, spec.port) for spec in made.specs] == [
        ("feed", 8590), ("api", 8000), ("worker", None), ("shop-dashboard", 8502), ("toys-dashboard", 8501),
    ]  # fmt: skip
    assert made.specs[0].url == "http://127.0.0.1:8590"
    made = plan(UpSettings(ports={"toys": 9001, "api": 9000}), shop=board("shop"), toys=board("toys", 8501))
    assert [spec.port for spec in made.specs] == [9000, None, 8501, 9001]


def test_only_some() -> None:
    made = plan(only=("toys",), shop=board("shop"), toys=board("toys"))
    assert [spec.name for spec in made.specs] == ["api", "worker", "toys-dashboard"]
    with pytest.raises(InputError, match="no application 'tosy'; installed: shop, toys"):
        plan(only=("tosy",), shop=board("shop"), toys=board("toys"))


def test_ports_that_collide_are_refused() -> None:
    with pytest.raises(InputError, match="port 8501 is given to both shop-dashboard and toys-dashboard"):
        plan(shop=board("shop", 8501), toys=board("toys", 8501))


def test_a_broken_one_is_left_out() -> None:
    def broken() -> list[Process]:
        raise ValueError("no feed")

    made = plan(shop=board("shop"), toys=board("toys", processes=broken))
    assert made.broken == {"toys": "no feed"}
    assert [spec.name for spec in made.specs] == ["api", "worker", "shop-dashboard"]


def test_a_port_in_use_is_a_clear_error_before_anything_starts(
    private_var: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.vertical.installed", dict)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}.*--port shop=PORT"):
            check_ports(plan(UpSettings(ports={"shop": port}), shop=board("shop")).specs)
        assert main(["up", "--check", "--port", f"api={port}"]) == 2
    assert f"port {port}, for api" in capfd.readouterr().err
    assert not (private_var / "logs").exists()


@pytest.mark.parametrize("text", ["api", "api=", "api=x", "api=0", "api=65536", "=80"])
def test_bad_ports_are_refused(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--check", "--port", text]) == 2
    assert "NAME=PORT" in capfd.readouterr().err


# --- all together ---------------------------------------------------------------------------------------


def test_one_after_another_and_all_stop_together(private_var: Path, told: Told) -> None:
    order: list[str] = []

    def spec(name: str) -> Spec:
        return Spec(name, (*PYTHON, "import time; time.sleep(600)"), lambda: order.append(name) or True)

    running = Supervisor(Plan((spec("a"), spec("b"), spec("c")), ()), get_settings(), UpSettings(), told, QUICK)
    running.start(threading.Event())
    assert running.healthy and running.to_dict()["healthy"] and list(dict.fromkeys(order)) == ["a", "b", "c"]
    running.stop()
    assert not running.healthy and running.over
    assert {child.state for child in running.children.values()} == {"stopped"}


def test_one_that_fails_holds_up_no_other(private_var: Path, told: Told) -> None:
    bad = Spec("bad", (*PYTHON, "raise SystemExit(1)"), lambda: False)
    good = Spec("good", (*PYTHON, "import time; time.sleep(600)"), lambda: True)
    running = Supervisor(Plan((bad, good), ()), get_settings(), UpSettings(), told, QUICK)
    running.start(threading.Event())
    status = running.to_dict()
    running.stop()
    assert not status["healthy"]
    assert [one["state"] for one in status["processes"].values()] == ["failed", "healthy"]


SHOP = """
import os, time
from core.errors import InputError
from core.vertical import Job, Vertical

def prepare(report):
    report("unpacking")
    if os.environ.get("SPOILED"):
        raise InputError("the goods are spoiled; order new ones.")

vertical = Vertical("shop", "a shop", jobs=lambda: [Job("tick", lambda: None, 1)], prepare=prepare,
                    dashboard={dashboard!r})
"""


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """The environment in which an application ``shop`` is installed."""
    site = tmp_path / "site"
    info = site / "shop-1.0.dist-info"
    info.mkdir(parents=True)
    dashboard = tmp_path / "shop_dashboard.py"
    dashboard.write_text("import streamlit\nstreamlit.write('open')\n")
    (site / "shop.py").write_text(SHOP.format(dashboard=str(dashboard)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[headwater.verticals]\nshop = shop:vertical\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def up(*options: str) -> list[str]:
    ports = [f"--port=api={free_port()}", f"--port=shop={free_port()}"]
    return [sys.executable, "-m", "core.cli", "up", "--only", "shop", *ports, *options]


def test_check_starts_everything_and_leaves_nothing(shop: dict[str, str], private_var: Path) -> None:
    before = {process.pid for process in psutil.process_iter()}
    done = subprocess.run(up("--check"), env=shop, cwd=PROJECT_ROOT, capture_output=True, text=True)
    status = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert status["healthy"] and status["prepared"]["shop"]["ok"]
    assert {name: one["state"] for name, one in status["processes"].items()} == {
        "api": "healthy", "worker": "healthy", "shop-dashboard": "healthy",
    }  # fmt: skip
    assert "shop: unpacking" in done.stderr
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before and str(private_var) in _words(p)]
    assert left == []


def test_interrupted_it_stops_all_and_what_could_not_be_prepared_is_told(
    shop: dict[str, str], private_var: Path
) -> None:
    process = subprocess.Popen(
        up(), env={**shop, "SPOILED": "1"}, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    heard = []
    try:
        for line in process.stderr:
            heard.append(line)
            if "Ctrl-C stops" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 6, "a leash and a process for each of three"
        process.send_signal(signal.SIGINT)
        heard.append(process.stderr.read())
        assert process.wait(PATIENCE) == 0
        assert all(gone(child.pid) for child in children)
    finally:
        process.kill()
    text = "".join(heard)
    assert "the goods are spoiled; order new ones." in text
    assert "not everything is well: shop (not prepared)" in text
    assert "Traceback" not in text


def _words(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), *process.environ().values()])
    except psutil.Error:
        return ""
