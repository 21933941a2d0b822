"""Latency and throughput of the REST API over loopback: ``python -m benchmarks.serving_http``.

Two servers (``headwater api``, processes of their own) with the shipped intents model: one groups what arrives together
(micro-batching, the default), one computes text by text. They take turns under the same load: 1, 8 and 32 clients, each
sending its next question as soon as it has the answer to its last. The load comes from this process, so it shares the
machine's cores with the server, as in every figure here.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.serving_worker import questions
from core.settings import get_settings

PART, MODEL = "http", "banking-intents"
SYSTEMS = {"micro-batching": "64", "one by one": "1"}
CLIENTS, SEGMENTS, SECONDS, CHECKED = (1, 8, 32), 5, 3.0, 200
HEAD = ["REST API, one text a request", "clients", "p50 ms", "p95 ms", "p99 ms", "requests/s [lowest–highest]"]


@dataclass
class Load:
    """What one server answered: milliseconds of each answer, requests/s of each segment."""

    milliseconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Percentiles over all answers, the median segment's rate, and the segments."""
        p50, p95, p99 = np.percentile(self.milliseconds, (50, 95, 99))
        return {
            "requests": len(self.milliseconds),
            "latency_ms": {"p50": float(p50), "p95": float(p95), "p99": float(p99)},
            "requests_per_second": statistics.median(self.rates),
            "low": min(self.rates),
            "high": max(self.rates),
            "segments": self.rates,
        }


@dataclass(frozen=True)
class Connection:
    """One kept-alive HTTP/1.1 connection; far cheaper than a client library, which would be what is measured."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to this machine's ``port``."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), f"127.0.0.1:{port}")

    async def predict(self, text: str) -> dict[str, Any]:
        """The answer for one text. Raises RuntimeError when it is not a 200."""
        body = json.dumps({"model": MODEL, "texts": [text]}).encode()
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        content = await self.reader.readexactly(int(length[1]) if length else 0)
        if b" 200 " not in answer[:16]:
            raise RuntimeError(f"the server answered {answer.splitlines()[0]!r}: {content[:200]!r}")
        return dict(json.loads(content))


async def segment(port: int, clients: int, seconds: float, texts: Sequence[str]) -> Load:
    """Keep ``clients`` requests in the air for ``seconds``."""
    load = Load()
    connections = [await Connection.open(port) for _ in range(clients)]
    started = time.perf_counter()

    async def work(number: int) -> None:
        position = number * len(texts) // clients
        while time.perf_counter() - started < seconds:
            begun = time.perf_counter()
            await connections[number].predict(texts[position % len(texts)])
            load.milliseconds.append((time.perf_counter() - begun) * 1000)
            position += 1

    try:
        await asyncio.gather(*map(work, range(clients)))
    finally:
        for connection in connections:
            connection.writer.close()
    load.rates.append(len(load.milliseconds) / (time.perf_counter() - started))
    return load


@contextlib.contextmanager
def server(max_batch: str) -> Iterator[tuple[int, str]]:
    """A running API: its port, and the engine its model runs on."""
    environment = {**os.environ, "HEADWATER_API_MAX_BATCH": max_batch, "HEADWATER_API_RATE": "1000000/second"}
    # A slow machine gives slow answers, which are what is measured, not refusals.
    environment["HEADWATER_API_DEADLINE_S"] = "120"
    environment.pop("OMP_NUM_THREADS", None)
    command = [sys.executable, "-m", "core.cli", "api", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            port = int(_line(process, r"API on http://127\.0\.0\.1:(\d+)"))
            asyncio.run(_ask(port, ["Why was I charged twice?"]))
            engine = _line(process, r'"engine": "([^"]+)"')
            # The rest of its log must be read by somebody, or the server would wait for room in the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield port, engine
        finally:
            process.terminate()
            process.wait(60)


def _line(process: "subprocess.Popen[str]", pattern: str) -> str:
    read = []
    for line in process.stderr or ():
        read.append(line)
        found = re.search(pattern, line)
        if found:
            return found[1]
    raise RuntimeError(f"the server ended: {''.join(read)[-800:]}")


async def _ask(port: int, texts: Sequence[str]) -> list[str]:
    connection = await Connection.open(port)
    labels = [(await connection.predict(text))["predictions"][0]["label"] for text in texts]
    connection.writer.close()
    return labels


def measure(texts: Sequence[str], clients: Sequence[int], segments: int, seconds: float) -> dict[str, Any]:
    """Both servers under every number of clients, taking turns; a first round that is thrown away warms them."""
    with contextlib.ExitStack() as stack:
        ports, engines = {}, set()
        for name, max_batch in SYSTEMS.items():
            ports[name], engine = stack.enter_context(server(max_batch))
            engines.add(engine)
        labels = {name: asyncio.run(_ask(port, texts[:CHECKED])) for name, port in ports.items()}
        first, second = labels.values()
        differing = sum(a != b for a, b in zip(first, second, strict=True))
        loads = {name: {number: Load() for number in clients} for name in SYSTEMS}
        names = list(SYSTEMS)
        for turn in range(-1, segments):
            for number in clients:
                for name in names if turn % 2 == 0 else names[::-1]:
                    found = asyncio.run(segment(ports[name], number, seconds if turn >= 0 else 1.0, texts))
                    print(f"{name}: {number} clients: {found.rates[0]:.0f} requests/s", file=sys.stderr, flush=True)
                    if turn >= 0:
                        loads[name][number].milliseconds += found.milliseconds
                        loads[name][number].rates += found.rates
    return {
        "model": MODEL,
        "engines": sorted(engines),
        "labels_compared": len(first),
        "labels_differing": differing,
        "systems": {name: {str(n): load.to_dict() for n, load in mine.items()} for name, mine in loads.items()},
    }


def http_rows(results: Path) -> list[list[str]]:
    """Rows under ``HEAD``, from ``serving.json`` in ``results``; none when it was not measured."""
    found: Mapping[str, Any] = store.read(results / "serving.json").get("parts", {}).get(PART, {})
    return [
        [
            name,
            number,
            *(f"{load['latency_ms'][p]:.1f}" for p in ("p50", "p95", "p99")),
            f"{load['requests_per_second']:.0f} [{load['low']:.0f}–{load['high']:.0f}]",
        ]
        for name, loads in found.get("systems", {}).items()
        for number, load in loads.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_http", description=__doc__)
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--segments", type=int, default=SEGMENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--out", type=Path, default=store.RESULTS / "serving.json")
    parser.add_argument("--fresh", action="store_true", help="measure again what is finished")
    options = parser.parse_args(arguments)
    texts = questions(get_settings().datasets)
    key = store.key_of("http 1", options.clients, options.segments, options.seconds)
    chosen = (texts, options.clients, options.segments, options.seconds)
    store.part(options.out, PART, key, lambda: measure(*chosen), options.fresh)
    for row in http_rows(options.out.parent):
        print(" | ".join(row))


if __name__ == "__main__":
    main()
