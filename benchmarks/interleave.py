"""Take turns: several processes each keep a model ready, and only one of them works at a time.

A machine is never equally fast for an hour. Timing A B C A B C … in short segments makes every slow minute
hit all systems alike, which timing A, then B, then C does not.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO


@dataclass(frozen=True)
class Segment:
    """Rows trained on in ``seconds`` of training steps; ``steps`` marks went into it."""

    rows: int
    seconds: float
    steps: int

    @property
    def rate(self) -> float:
        """Examples per second."""
        return self.rows / self.seconds if self.seconds else 0.0


class Stopped(Exception):
    """The controller wants no further segment."""


class Channel:
    """JSON lines between controller and worker."""

    def __init__(self, reader: TextIO, writer: TextIO) -> None:
        self.reader, self.writer = reader, writer

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        self.writer.write(json.dumps(message) + "\n")
        self.writer.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for one message; raises EOFError when the other side is gone."""
        line = self.reader.readline()
        if not line:
            raise EOFError("the other process ended")
        return dict(json.loads(line))


def worker_channel() -> Channel:
    """The worker's side, on its own standard streams; whatever libraries print goes to stderr instead."""
    writer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return Channel(sys.stdin, writer)


class Meter:
    """Cuts a running training into segments, and holds it still between them.

    The training calls ``mark`` after its steps and ``interrupt`` when something else than steps (validation,
    a checkpoint, preparation) came in between; such an interval belongs to no segment.
    """

    def __init__(self, channel: Channel, clock: Callable[[], float] = time.perf_counter) -> None:
        self.channel, self.clock = channel, clock
        self.last: float | None = None
        self.wanted: float | None = None
        self.rows, self.seconds, self.steps = 0, 0.0, 0

    def mark(self, rows: int) -> None:
        """``rows`` more were trained on. Raises Stopped when the controller says so."""
        now = self.clock()
        if self.wanted is None:
            self.channel.send({"ready": True})
            self._next()
        elif self.last is not None:
            self.rows, self.seconds, self.steps = (
                self.rows + rows,
                self.seconds + now - self.last,
                self.steps + 1,
            )
            if self.seconds >= self.wanted:
                self.channel.send(asdict(Segment(self.rows, self.seconds, self.steps)))
                self.rows, self.seconds, self.steps = 0, 0.0, 0
                self._next()
        self.last = self.clock()

    def interrupt(self) -> None:
        """The time until the next mark is not spent on training steps alone."""
        self.last = None

    def _next(self) -> None:
        command = self.channel.receive()
        if "seconds" not in command:
            raise Stopped
        self.wanted = float(command["seconds"])


def interleaved(
    commands: Mapping[str, Sequence[str]],
    segments: int,
    seconds: float,
    warmup: int = 1,
    progress: Callable[[str], None] = lambda line: None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, list[Segment]]:
    """Run ``segments`` rounds of one segment of each system; ``warmup`` rounds before them are thrown away.

    Each command starts a worker that speaks through a ``Meter``. The order within a round moves on by one
    each round, so that no system always comes first. Raises RuntimeError when a worker dies.
    """
    workers: dict[str, subprocess.Popen[str]] = {}
    channels: dict[str, Channel] = {}
    results: dict[str, list[Segment]] = {name: [] for name in commands}
    try:
        for name, command in commands.items():
            progress(f"{name}: preparing")
            workers[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            channels[name] = Channel(workers[name].stdout, workers[name].stdin)  # type: ignore[arg-type]
            _receive(name, channels[name], workers[name])
        names = list(commands)
        for turn in range(-warmup, segments):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                channels[name].send({"seconds": seconds})
                segment = Segment(**_receive(name, channels[name], workers[name]))
                label = "warm-up" if turn < 0 else f"{turn + 1}/{segments}"
                progress(f"{name}: {label}: {segment.rate:.1f} examples/s")
                if turn >= 0:
                    results[name].append(segment)
    finally:
        for name, worker in workers.items():
            _end(channels[name], worker)
    return results


def compare(results: Mapping[str, Sequence[Segment]], ours: str) -> dict[str, Any]:
    """Median examples/s of each system, and how many times faster ``ours`` is than each other.

    ``ratio`` is the ratio of the medians; ``low`` and ``high`` are the smallest and largest ratio of any one
    round, ``pooled`` that of all rows over all seconds.
    """
    rates = {name: [s.rate for s in found] for name, found in results.items()}
    pooled = {
        name: sum(s.rows for s in found) / max(sum(s.seconds for s in found), 1e-9) for name, found in results.items()
    }
    ratios = {}
    for name in rates:
        if name != ours:
            rounds = [a / b for a, b in zip(rates[ours], rates[name], strict=True)]
            ratios[name] = {
                "ratio": statistics.median(rates[ours]) / statistics.median(rates[name]),
                "low": min(rounds),
                "high": max(rounds),
                "pooled": pooled[ours] / pooled[name],
            }
    systems = {
        name: {
            "examples_per_second": statistics.median(rates[name]),
            "low": min(rates[name]),
            "high": max(rates[name]),
            "pooled": pooled[name],
            "segments": [asdict(s) for s in results[name]],
        }
        for name in rates
    }
    return {"systems": systems, "ratios": ratios}


def _receive(name: str, channel: Channel, worker: "subprocess.Popen[str]") -> dict[str, Any]:
    try:
        return channel.receive()
    except EOFError:
        raise RuntimeError(f"the process of {name!r} ended with code {worker.wait()}; see its messages above") from None


def _end(channel: Channel, worker: "subprocess.Popen[str]") -> None:
    try:
        channel.send({"stop": True})
        channel.writer.close()
        worker.wait(timeout=60)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        worker.kill()
        worker.wait()
    channel.reader.close()
