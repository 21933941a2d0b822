"""One supervised process: health, restarts, giving up, its log, and nobody that outlives it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.operations.child import Child, Patience, Spec
from core.operations.logs import Log
from core.settings import PROJECT_ROOT
from tests.core.operations.supervised import PATIENCE, PYTHON, QUICK, Told, gone, until


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
