"""A worker that is killed between "surge found" and "delivered": duplicates may happen, losses may not."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.settings import PROJECT_ROOT

# One process imports the libraries once; each life is a fork of it, with a process id of its own, so that it can be
# killed alone. A life evaluates one surge and delivers it; SIGKILL hits it right before or after the chosen step.
PROGRAM = """
import json, os, random, signal, sys, traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlalchemy import create_engine, event
from verticals.finance.alerts import delivery, store, tables
from verticals.finance.alerts.rules import Receiver, Rule, RuleBook
from verticals.finance.alerts.states import Observation

rule = Rule(id="surge", scope="topic", measure="volume", minimum_stories=1, group_wait=timedelta(0))
book = RuleBook(rules=(rule,), receivers=(Receiver(name="desk", url="http://127.0.0.1:9/"),))


def live(folder, step, number, minute):
    now = datetime(2026, 3, 2, 8, tzinfo=UTC) + timedelta(minutes=minute)
    engine = create_engine(f"sqlite:///{folder / 'alerts.db'}", connect_args={"timeout": 10})
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA journal_mode=WAL"))
    tables.metadata.create_all(engine)
    seen = {"statement": 0, "commit": 0, "committed": 0}

    def die(kind):
        seen[kind] = seen.get(kind, 0) + 1
        if kind == step and seen[kind] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "after_cursor_execute", lambda *_: die("statement"))
    event.listen(engine, "commit", lambda *_: die("commit"))  # before it is written

    def send(receiver, group, alerts):
        with (folder / "received.jsonl").open("a") as out:
            out.write(json.dumps([a["dedupe_key"] for a in alerts]) + "\\n")
            out.flush()
            os.fsync(out.fileno())
        die("sent")

    observed = Observation(datetime(2026, 3, 2, 8, tzinfo=UTC), anomaly=True, score=0.99, stories=9)
    store.evaluate(engine, book, [(store.Target(rule, "Energy", {}), observed)], now)
    die("committed")
    delivery.deliver(engine, book, now, "worker", send, random.Random(1))
    return seen

for line in sys.stdin:  # a life a line: folder, step, number, minute
    folder, *rest = json.loads(line)
    child = os.fork()
    if not child:
        try:
            (Path(folder) / "seen.json").write_text(json.dumps(live(Path(folder), *rest)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


Live = Callable[[Path, str, int, int], int]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """``live(folder, step, number, minute)`` begins a life that is killed at a step, and gives its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    asked, told = process.stdin, process.stdout

    def begin(folder: Path, step: str, number: int, minute: int) -> int:
        asked.write(json.dumps([str(folder), step, number, minute]) + "\n")
        asked.flush()
        return int(told.readline())

    yield begin
    process.communicate()


def received(folder: Path) -> list[str]:
    path = folder / "received.jsonl"
    return [key for line in path.read_text().splitlines() for key in json.loads(line)] if path.exists() else []


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, live: Live) -> dict[str, Any]:
    """How many statements, commits and messages an undisturbed life has."""
    folder = tmp_path_factory.mktemp("calm")
    assert live(folder, "none", 0, 0) == 0
    assert len(received(folder)) == 1
    return dict(json.loads((folder / "seen.json").read_text()))


def test_killed_at_every_step_the_message_arrives(tmp_path: Path, steps: dict[str, Any], live: Live) -> None:
    # Statements that make tables come first; of the rest each place is tried, as are all commits.
    places = [("statement", n) for n in range(max(1, steps["statement"] - 9), steps["statement"] + 1, 2)]
    places += [("commit", n) for n in range(2, steps["commit"] + 1)] + [("committed", 1), ("sent", 1)]
    for step, number in places:
        folder = tmp_path / f"{step}-{number}"
        folder.mkdir()
        assert live(folder, step, number, 0) == -signal.SIGKILL, (step, number)
        # the next life comes after the claim of the first one ran out
        assert live(folder, "none", 0, 10) == 0, (step, number)
        keys = received(folder)
        assert len(set(keys)) == 1, (step, number, keys)
        assert len(keys) <= 2, (step, number, keys)
        # and a third one has nothing left to do
        assert live(folder, "none", 0, 20) == 0, (step, number)
        assert received(folder) == keys, (step, number)
