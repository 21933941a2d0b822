"""Few connections to a host at once, spaced in time; other hosts do not wait."""

import asyncio
from datetime import UTC, datetime, timedelta

from core.fetching.hosts import HostGate

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_concurrency_is_bounded_per_host() -> None:
    async def go() -> None:
        gate = HostGate(lambda: NOW, concurrency=2, spacing=0.0)
        inside = {"a": 0, "b": 0}
        most = {"a": 0, "b": 0}

        async def visit(host: str) -> None:
            async with gate.visit(host):
                inside[host] += 1
                most[host] = max(most[host], inside[host])
                await asyncio.sleep(0.01)
                inside[host] -= 1

        await asyncio.gather(*(visit(host) for host in "aabbaaabb"))
        assert most == {"a": 2, "b": 2}

    asyncio.run(go())


def test_starts_are_spaced_and_the_longer_delay_counts() -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        gate = HostGate(lambda: NOW, concurrency=5, spacing=0.1)
        starts: list[float] = []

        async def visit(delay: float | None) -> None:
            async with gate.visit("a", delay):
                starts.append(loop.time())

        await asyncio.gather(visit(0.3), visit(None), visit(None))
        gaps = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
        assert gaps[0] >= 0.29 and gaps[1] >= 0.09
        before = loop.time()
        async with gate.visit("b"):
            assert loop.time() - before < 0.05

    asyncio.run(go())


def test_the_longer_of_two_pauses_counts() -> None:
    now = [NOW]
    gate = HostGate(lambda: now[0])
    gate.pause("a", timedelta(minutes=10))
    gate.pause("a", timedelta(minutes=1))
    assert gate.paused("a") == timedelta(minutes=10) and gate.paused("b") is None
    now[0] += timedelta(minutes=10)
    assert gate.paused("a") is None
