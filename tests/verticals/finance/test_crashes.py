"""A worker that is killed between "surge found" and "delivered": duplicates may happen, losses may not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.settings import PROJECT_ROOT

# The process evaluates one surge and delivers it; SIGKILL hits it right before or after the chosen step.
PROGRAM = """
import json, os, random, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlalchemy import create_engine, event
from verticals.finance.alerts import delivery, store, tables
from verticals.finance.alerts.rules import Receiver, Rule, RuleBook
from verticals.finance.alerts.states import Observation

folder, step, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rule = Rule(id="surge", scope="topic", measure="volume", minimum_stories=1, group_wait=timedelta(0))
book = RuleBook(rules=(rule,), receivers=(Receiver(name="desk", url="http://127.0.0.1:9/"),))
now = datetime(2026, 3, 2, 8, tzinfo=UTC) + timedelta(minutes=int(sys.argv[4]))
engine = create_engine(f"sqlite:///{folder / 'alerts.db'}", connect_args={"timeout": 10})

@event.listens_for(engine, "connect")
def prepare(connection, record):
    connection.execute("PRAGMA journal_mode=WAL")

tables.metadata.create_all(engine)
seen = {"statement": 0, "commit": 0, "committed": 0}

def die(kind):
    seen[kind] += 1
    if kind == step and seen[kind] == number:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(engine, "after_cursor_execute", lambda *_: die("statement"))
event.listen(engine, "commit", lambda *_: die("commit"))  # before it is written

def send(receiver, group, alerts):
    with (folder / "received.jsonl").open("a") as out:
        out.write(json.dumps([a["dedupe_key"] for a in alerts]) + "\\n")
        out.flush()
        os.fsync(out.fileno())
    seen["sent"] = seen.get("sent", 0)
    die("sent")

observed = Observation(datetime(2026, 3, 2, 8, tzinfo=UTC), anomaly=True, score=0.99, stories=9)
store.evaluate(engine, book, [(store.Target(rule, "Energy", {}), observed)], now)
die("committed")
delivery.deliver(engine, book, now, "worker", send, random.Random(1))
print(json.dumps(seen))
"""


def live(folder: Path, step: str, number: int, minute: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), step, str(number), str(minute)]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, env={**os.environ})


def received(folder: Path) -> list[str]:
    path = folder / "received.jsonl"
    return [key for line in path.read_text().splitlines() for key in json.loads(line)] if path.exists() else []


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """How many statements, commits and messages an undisturbed life has."""
    folder = tmp_path_factory.mktemp("calm")
    calm = live(folder, "none", 0, 0)
    assert calm.returncode == 0, calm.stderr
    assert len(received(folder)) == 1
    return dict(json.loads(calm.stdout))


def test_killed_at_every_step_the_message_arrives(tmp_path: Path, steps: dict[str, Any]) -> None:
    # Statements that make tables come first; of the rest each place is tried, as are all commits.
    places = [("statement", n) for n in range(max(1, steps["statement"] - 9), steps["statement"] + 1, 2)]
    places += [("commit", n) for n in range(2, steps["commit"] + 1)] + [("committed", 1), ("sent", 1)]
    for step, number in places:
        folder = tmp_path / f"{step}-{number}"
        folder.mkdir()
        killed = live(folder, step, number, 0)
        assert killed.returncode == -signal.SIGKILL, (step, number, killed.stderr)
        # the next life comes after the claim of the first one ran out
        after = live(folder, "none", 0, 10)
        assert after.returncode == 0, after.stderr
        keys = received(folder)
        assert len(set(keys)) == 1, (step, number, keys)
        assert len(keys) <= 2, (step, number, keys)
        # and a third one has nothing left to do
        live(folder, "none", 0, 20)
        assert received(folder) == keys, (step, number)
