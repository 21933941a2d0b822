"""The load generator against a server that answers at once; the table from a result."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import serving_http, store
from benchmarks.serving_http import HEAD, Load, http_rows, segment


async def _with_server(status: str, clients: int) -> tuple[Load, list[str]]:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            assert head == b"POST /v1/predict HTTP/1.1\r\n"
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
            asked.extend(json.loads(await reader.readexactly(length))["texts"])
            body = json.dumps({"predictions": [{"label": "x"}]}).encode()
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await segment(port, clients, 0.2, ["one", "two", "three", "four"]), asked


def test_every_request_is_counted_once() -> None:
    load, asked = asyncio.run(_with_server("200 OK", 2))
    assert len(load.milliseconds) == len(asked) > 0
    assert {"one", "three"} <= set(asked)  # the clients begin at different texts
    assert len(load.rates) == 1 and all(ms > 0 for ms in load.milliseconds)


def test_an_error_ends_the_measurement() -> None:
    with pytest.raises(RuntimeError, match="503 Busy"):
        asyncio.run(_with_server("503 Busy", 1))


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="HEADWATER_API_MAX_BATCH"), serving_http.server("no number"):
        pass


def _result() -> dict[str, Any]:
    load = Load([1.0, 2.0, 3.0, 101.0], [10.0, 30.0, 20.0]).to_dict()
    return {"systems": {"micro-batching": {"1": load, "8": load}, "one by one": {"1": load}}}


def test_the_table(tmp_path: Path) -> None:
    assert http_rows(tmp_path) == []
    store.write_part(tmp_path / "serving.json", "cold", {"seconds": 1})
    store.part(tmp_path / "serving.json", serving_http.PART, "key", _result)
    rows = http_rows(tmp_path)
    assert [row[:2] for row in rows] == [["micro-batching", "1"], ["micro-batching", "8"], ["one by one", "1"]]
    assert rows[0][2:] == ["2.5", "86.3", "98.1", "20 [10–30]"]
    assert all(len(row) == len(HEAD) for row in rows)
    assert store.read(tmp_path / "serving.json")["parts"]["cold"] == {"seconds": 1}
