"""Turn-taking: only one process works at a time, and only clean intervals count."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.interleave import Channel, Meter, Segment, Stopped, compare, interleaved

WORKER = """
import sys, time
sys.path.insert(0, {root!r})
from benchmarks.interleave import Meter, Stopped, worker_channel

channel = worker_channel()
print("noise of a library", flush=True)  # must not reach the controller
meter = Meter(channel)
try:
    while True:
        begin = time.monotonic()
        time.sleep(0.01)
        with open({log!r}, "a") as file:
            file.write(f"{name} {{begin}} {{time.monotonic()}}\\n")
        meter.mark({rows})
except Stopped:
    with open({log!r}, "a") as file:
        file.write("{name} stopped -\\n")
"""


class Script:
    """A channel's other side that answers from a list, and a clock that is set by hand."""

    def __init__(self, *commands: dict[str, Any]) -> None:
        self.commands, self.sent, self.now = list(commands), [], 0.0

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def receive(self) -> dict[str, Any]:
        self.now += 1000  # the time between segments belongs to the others
        return self.commands.pop(0)

    def clock(self) -> float:
        return self.now


def worker(name: str, rows: int, log: Path) -> list[str]:
    root = str(Path(__file__).resolve().parents[2])
    return [sys.executable, "-c", WORKER.format(root=root, log=str(log), name=name, rows=rows)]


def test_workers_take_turns_and_are_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {"a": worker("a", 10, log), "b": worker("b", 2, log)}
    found = interleaved(commands, segments=3, seconds=0.05, warmup=1)
    assert {name: len(segments) for name, segments in found.items()} == {"a": 3, "b": 3}
    assert all(s.seconds >= 0.05 for segments in found.values() for s in segments)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(line[0] for line in lines if line[1] == "stopped") == ["a", "b"]
    spans = sorted((float(b), float(e), name) for name, b, e in lines if b != "stopped")
    runs = [name for (_, _, name), (_, _, before) in zip(spans[1:], spans, strict=False) if name != before]
    assert len(runs) >= 5  # a and b alternate, several times
    # A worker's step that follows a pause begins only when its turn comes, so no two steps overlap.
    for (_, end, before), (begin, _, name) in zip(spans, spans[1:], strict=False):
        assert name == before or begin >= end


def test_a_worker_that_dies_is_reported_and_the_other_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    commands = {"good": worker("good", 1, log), "bad": [sys.executable, "-c", "import sys; sys.exit(3)"]}
    with pytest.raises(RuntimeError, match="'bad' ended with code 3"):
        interleaved(commands, segments=1, seconds=0.05)
    assert "good stopped -" in log.read_text()


def test_the_meter_counts_steps_only_between_clean_marks() -> None:
    script = Script({"seconds": 2.0}, {"seconds": 1.0}, {"stop": True})
    meter = Meter(script, script.clock)  # type: ignore[arg-type]
    meter.mark(100)  # the first step carries the preparation: it only says that the worker is ready
    assert script.sent == [{"ready": True}]
    script.now += 1.0
    meter.mark(5)
    script.now += 50.0
    meter.interrupt()
    script.now += 50.0
    meter.mark(7)  # validation came in between
    script.now += 1.5
    meter.mark(6)
    assert script.sent[-1] == {"rows": 11, "seconds": 2.5, "steps": 2}
    script.now += 1.0
    with pytest.raises(Stopped):
        meter.mark(3)
    assert script.sent[-1] == {"rows": 3, "seconds": 1.0, "steps": 1}  # the pause of 1000 s is not in it


def test_ratios_of_medians_with_their_spread() -> None:
    results = {
        "ours": [Segment(100, 1, 1), Segment(120, 1, 1), Segment(500, 1, 1)],
        "peer": [Segment(10, 1, 1), Segment(20, 1, 1), Segment(40, 2, 1)],
    }
    found = compare(results, "ours")
    assert found["systems"]["ours"]["examples_per_second"] == 120
    assert found["ratios"] == {"peer": {"ratio": 6.0, "low": 6.0, "high": 25.0, "pooled": 720 / 3 / (70 / 4)}}
    json.dumps(found)


def test_a_channel_says_when_the_other_side_is_gone() -> None:
    import io

    with pytest.raises(EOFError):
        Channel(io.StringIO(""), io.StringIO()).receive()
