"""A server on loopback that behaves as badly as each test wants, and a client that may reach it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core.fetching.addresses import AddressPolicy
from core.fetching.client import Client, Limits

Handler = Callable[[asyncio.StreamWriter, dict[str, str]], Awaitable[None]]
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def answer(status: int = 200, body: bytes | str = b"", **headers: str) -> bytes:
    """A whole HTTP response; underscores in header names become hyphens."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


class Server:
    """Serves ``routes``: a path to a response, a list of responses in turn, or a handler that writes what it likes."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            path = head[0].split(" ")[1]
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            self.requests.append((path, headers))
            route = self.routes.get(path, self.routes.get(path.partition("?")[0], answer(404)))
            if isinstance(route, list):
                route = route.pop(0) if len(route) > 1 else route[0]
            if callable(route):
                await route(writer, headers)
            else:
                writer.write(route)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def web() -> SimpleNamespace:
    """What a test of fetching needs: Server, answer, Clock, NOW, and ``client(server, …)`` that may reach it."""

    def client(server: Server, clock: Clock | None = None, resolver: Any = None, **limits: Any) -> Client:
        chosen = {"spacing": 0.0, "idle": 2.0, "total": 5.0, "connect": 2.0, **limits}
        more = {"resolver": resolver} if resolver else {}
        policy = AddressPolicy.parse([f"127.0.0.1:{server.port}"])
        return Client(policy, Limits(**chosen), clock or Clock(), **more)

    return SimpleNamespace(
        Server=Server, answer=answer, Clock=Clock, NOW=NOW, client=client, draw=lambda: random.Random(7)
    )
