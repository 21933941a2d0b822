"""24 simulated hours with many sources: a clock that jumps from visit to visit, and a transport within the process."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
from sqlalchemy import Engine, func, select

from core.fetching.client import Client, Limits
from core.fetching.schedule import JITTER
from verticals.finance import tables, watch
from verticals.finance.polling import Poller
from verticals.finance.settings import FinanceSettings

HOURS, SOURCES = 24, 50  # more than are polled at once, and each kind of failure among them
STEP = timedelta(minutes=15)  # the worker looks more often; here each look costs a simulated one


def answer(status: int, body: str = "", **headers: str) -> httpx.Response:
    """A response whose body is yet to be read, as from a socket; underscores in names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(body.encode()))


class World(httpx.AsyncBaseTransport):
    """Feeds on hosts of their own, with news every four hours; some answer 429, 500, rubbish, or nothing."""

    def __init__(self, clock: Callable[[], Any], start: Any) -> None:
        self.clock, self.start = clock, start
        self.visits: Counter[str] = Counter()
        self.kept = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        number = int(host.removeprefix("feed").removesuffix(".example"))
        if request.url.path == "/robots.txt":
            return answer(404)
        self.visits[host] += 1
        hour = int((self.clock() - self.start) / timedelta(hours=1)) // 4 * 4
        if number == 0:
            return answer(500)
        if number == 1 and self.visits[host] % 3 == 1:
            return answer(429, Retry_After="14400")
        if number == 2:
            raise httpx.ConnectError("refused")
        if number == 3:
            return answer(200, "<html><p>not a feed", Content_Type="text/html")
        tag = f'"{number}-{hour}"'
        if request.headers.get("If-None-Match") == tag:
            self.kept += 1
            return answer(304, ETag=tag)
        # The fifth feed gives every item a new GUID at every visit; the sixth dates all of them in the future.
        items = "".join(
            f"<item><title>Company {number} reports on hour {h} of the day</title><link>https://{host}/{h}</link>"
            f"<guid isPermaLink='false'>{number}-{h}-{self.visits[host] if number == 5 else ''}</guid>"
            f"<pubDate>{format_datetime(self.start + timedelta(hours=h, days=400 * (number == 6)))}</pubDate></item>"
            for h in range(hour + 1)
        )
        text = f'<rss version="2.0"><channel><title>{number}</title>{items}</channel></rss>'
        return answer(200, text, ETag=tag, Content_Type="application/rss+xml")


def test_a_day_of_many_sources(finance_engine: Engine, moving: Any) -> None:
    settings = FinanceSettings(sample=False, polls_at_once=16)
    for number in range(SOURCES):
        row = {"id": f"feed-{number}", "url": f"https://feed{number}.example/rss", "kind": "rss", "interval": "2h"}
        watch.add(finance_engine, row, settings, moving.now)
    start = moving.now
    world = World(moving, start)
    client = Client(limits=Limits(spacing=0.0), clock=moving, transport=world)
    with Poller(finance_engine, settings, moving, random.Random(11), client) as poller:
        while moving.now < start + timedelta(hours=HOURS):
            while poller.run():
                pass
            with finance_engine.connect() as connection:
                table = tables.sources
                query = select(func.min(table.c.next_check)).where(table.c.enabled, table.c.sample.is_(False))
                moving.now = max(connection.scalar(query), moving.now + STEP)
    # a well source is visited as often as its interval says, and no oftener
    usual = HOURS // 2
    for number in range(7, SOURCES):
        visits = world.visits[f"feed{number}.example"]
        assert usual / (1 + JITTER + STEP / timedelta(hours=2)) - 1 <= visits <= usual + 1, (number, visits)
    # who fails is left in peace more and more, and who asks for an hour gets it
    assert max(world.visits["feed0.example"], world.visits["feed2.example"]) <= usual * 1.5
    assert world.visits["feed1.example"] <= usual
    assert world.kept > 0
    # every article once: neither new GUIDs nor wrong dates make another one
    with finance_engine.connect() as connection:
        rows = connection.execute(select(tables.articles.c.source, func.count()).group_by(tables.articles.c.source))
        counts = {row[0]: row[1] for row in rows}
        latest = connection.scalar(select(func.max(tables.articles.c.time)))
    assert {counts.get(f"feed-{n}") for n in (4, 5, *range(7, SOURCES))} <= set(range(HOURS - 4, HOURS + 2))
    assert counts["feed-6"] in range(HOURS - 4, HOURS + 2)
    assert latest <= moving.now
    assert not {"feed-0", "feed-2", "feed-3"} & set(counts)
    states = {one.id: one.health for one in watch.listed(finance_engine, settings)}
    assert {states["feed-0"], states["feed-2"], states["feed-3"]} == {"down"} and states["feed-10"] == "ok"
