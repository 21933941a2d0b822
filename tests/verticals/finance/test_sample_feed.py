"""The sample server over real HTTP: every format, conditional requests, clock, paging, shutdown, and our own poller."""

import asyncio
import gzip
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from core.errors import InputError
from verticals.finance.sample_feed import FOLDER, RECENT, load_articles, serve
from verticals.finance.sample_pages import OUTLETS

NOW = datetime(2026, 3, 3, 14, 0, 30, tzinfo=UTC)
ATOM = "{http://www.w3.org/2005/Atom}"
MAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def _get(url: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serve(0, lambda: NOW) as address:
        yield address


@pytest.fixture(scope="module")
def totals() -> dict[str, int]:
    articles = load_articles(FOLDER / "articles.jsonl", NOW)
    return {name: sum(a.source == name for a in articles) for name in OUTLETS}


def test_articles_are_dated_from_now_newest_first() -> None:
    articles = load_articles(FOLDER / "articles.jsonl", NOW)
    assert articles == sorted(articles, key=lambda a: a.published, reverse=True)
    assert all(a.published.tzinfo is UTC and a.published <= NOW for a in articles)
    later = load_articles(FOLDER / "articles.jsonl", NOW + timedelta(days=3))
    assert [a.id for a in later] == [a.id for a in articles]
    assert {b.published - a.published for a, b in zip(articles, later, strict=True)} == {timedelta(days=3)}
    assert json.loads(json.dumps(articles[0].to_dict()))["published"].endswith("+00:00")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minutes_ago": -1}, "line 2, field minutes_ago"),
        ({"minutes_ago": "5"}, "line 2, field minutes_ago"),
        ({"source": "nowhere"}, "line 2, field source"),
        ({"synthetic": False}, "line 2, field synthetic"),
        ({"title": None}, "line 2, field title"),
        ({}, "line 2, field id"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    first = (FOLDER / "articles.jsonl").read_text(encoding="utf-8").splitlines()[0]
    path = tmp_path / "articles.jsonl"
    path.write_text(f"{first}\n{json.dumps(json.loads(first) | change)}\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_articles(path, NOW)


@pytest.mark.parametrize("text", ["", "{\n", "[1]\n"])
def test_a_file_that_is_no_sample_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "articles.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"articles\.jsonl"), serve(0, lambda: NOW, tmp_path):
        pass


@pytest.mark.parametrize(("prefix", "all_of_it"), [("", False), ("/archive", True)])
def test_each_format_holds_the_latest_or_everything(
    base: str, totals: dict[str, int], prefix: str, all_of_it: bool
) -> None:
    def body(outlet: str, feed: str) -> bytes:
        status, headers, data = _get(f"{base}{prefix}/{outlet}/{feed}")
        assert status == 200 and headers["X-Sample"] == "synthetic"
        assert b"synthetic" in data.lower()
        return data

    for outlet in OUTLETS:
        count = totals[outlet] if all_of_it else min(RECENT, totals[outlet])
        channel = ET.fromstring(body(outlet, "rss.xml")).find("channel")
        assert channel is not None and "(synthetic sample)" in (channel.findtext("title") or "")
        items = channel.findall("item")
        dates = [parsedate_to_datetime(item.findtext("pubDate") or "") for item in items]
        assert len(items) == count and dates == sorted(dates, reverse=True) and int(channel.findtext("ttl") or 0) > 0
        feed = ET.fromstring(body(outlet, "atom.xml"))
        assert "(synthetic sample)" in (feed.findtext(f"{ATOM}title") or "")
        assert len(feed.findall(f"{ATOM}entry")) == count
        document = json.loads(body(outlet, "feed.json"))
        assert len(document["items"]) == count and "(synthetic sample)" in document["title"]
        assert body(outlet, "index.html").count(b'class="story"') == count
        entries = ET.fromstring(body(outlet, "sitemap.xml")).findall(f"{MAP}url")
        assert len(entries) == count and all(entry.findtext(f"{MAP}lastmod") for entry in entries)
        assert json.loads(body(outlet, "api/articles"))["total"] == count


def test_labels_are_never_served(base: str) -> None:
    _, _, data = _get(f"{base}/archive/harbour-wire/feed.json")
    allowed = {"id", "url", "title", "summary", "content_text", "date_published", "language"}
    assert all(set(item) == allowed for item in json.loads(data)["items"])


def test_the_interface_pages_through_everything_once(base: str, totals: dict[str, int]) -> None:
    url, seen, pages = f"{base}/archive/filing-room/api/articles?per_page=20", [], 0
    while url:
        document = json.loads(_get(url)[2])
        seen += [item["id"] for item in document["articles"]]
        url, pages = document["next"], pages + 1
    assert len(seen) == len(set(seen)) == totals["filing-room"]
    assert pages == -(-totals["filing-room"] // 20)
    for query in ("page=0", "page=x", "per_page=201", "page=-1", "page=²"):
        status, _, data = _get(f"{base}/filing-room/api/articles?{query.replace('²', '%C2%B2')}")
        assert status == 400 and "whole number" in json.loads(data)["error"]


@pytest.mark.parametrize("path", ["harbour-wire/rss.xml", "meridian-desk/index.html", "filing-room/api/articles"])
def test_unchanged_answers_304(base: str, path: str) -> None:
    status, headers, body = _get(f"{base}/{path}")
    assert status == 200 and body
    assert "max-age" in headers["Cache-Control"]
    again = _get(f"{base}/{path}", If_None_Match=headers["ETag"])
    assert again[0] == 304 and again[2] == b"" and again[1]["ETag"] == headers["ETag"]
    assert _get(f"{base}/{path}", If_Modified_Since=headers["Last-Modified"])[0] == 304
    older = parsedate_to_datetime(headers["Last-Modified"]) - timedelta(hours=1)
    assert _get(f"{base}/{path}", If_Modified_Since=older.strftime("%a, %d %b %Y %H:%M:%S GMT"))[0] == 200
    # If-None-Match decides alone (RFC 9110): another tag means changed, whatever the date says.
    other = _get(f"{base}/{path}", If_None_Match='"other"', If_Modified_Since=headers["Last-Modified"])
    assert other[0] == 200
    assert _get(f"{base}/{path}", If_Modified_Since="yesterday")[0] == 200


def test_gzip_only_when_accepted(base: str) -> None:
    url = f"{base}/archive/ledger-post/atom.xml"
    _, plain_headers, plain = _get(url)
    _, headers, packed = _get(url, Accept_Encoding="br, gzip;q=0.8")
    assert plain_headers["Content-Encoding"] is None and headers["Content-Encoding"] == "gzip"
    assert len(packed) < len(plain) / 2 and gzip.decompress(packed) == plain
    assert _get(url, Accept_Encoding="gzip;q=0")[1]["Content-Encoding"] is None


def test_small_things_of_a_site(base: str) -> None:
    assert b"Disallow: /desk/" in _get(f"{base}/robots.txt")[2]
    assert _get(f"{base}/desk/drafts.html")[0] == 200
    for path in ("/favicon.ico", "/harbour-wire/none.xml", "/nobody/rss.xml", "/tapeside/articles/none.html", "/../x"):
        assert _get(base + path)[0] == 404
    children = ET.fromstring(_get(f"{base}/sitemap.xml")[2]).findall(f"{MAP}sitemap")
    assert len(children) == len(OUTLETS)
    status, headers, body = _get(f"{base}/", method="HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 500
    assert base.startswith("http://127.0.0.1:")


def test_dates_move_with_the_clock_and_links_stay() -> None:
    def feed(now: datetime) -> list[tuple[str, datetime]]:
        with serve(0, lambda: now) as address:
            items = json.loads(_get(f"{address}/tapeside/feed.json")[2])["items"]
        return [(urlsplit(i["url"]).path, datetime.fromisoformat(i["date_published"])) for i in items]

    one, other = feed(NOW), feed(NOW + timedelta(hours=30))
    assert [path for path, _ in one] == [path for path, _ in other]
    assert {b[1] - a[1] for a, b in zip(one, other, strict=True)} == {timedelta(hours=30)}


def test_archive_option_serves_everything_under_the_plain_paths(totals: dict[str, int]) -> None:
    with serve(0, lambda: NOW, archive=True) as address:
        assert len(json.loads(_get(f"{address}/tapeside/feed.json")[2])["items"]) == totals["tapeside"] > RECENT


def test_a_taken_port_is_said(base: str) -> None:
    with pytest.raises(InputError, match="choose another port"), serve(urlsplit(base).port or 0, lambda: NOW):
        pass


def test_article_pages_yield_their_text_to_the_extractor(base: str) -> None:
    from verticals.finance.fetching.pages import read_article

    articles = load_articles(FOLDER / "articles.jsonl", NOW)
    for article in articles[::14]:
        url = f"{base}/{article.source}/articles/{article.id}.html"
        page = read_article(_get(url)[2].decode(), url, NOW)
        assert page.title == article.title and page.published == article.published
        assert "".join(article.body.split()) in "".join(page.text.split())
        assert "Advertisement" not in page.text and "cookies" not in page.text and "More headlines" not in page.text


def test_our_own_poller_reads_every_sample_source(base: str, totals: dict[str, int]) -> None:
    from core.fetching.addresses import AddressPolicy
    from core.fetching.client import Client, Limits
    from verticals.finance.fetching.poll import PollResult, poll
    from verticals.finance.sources import Source, SourceState, load_sources

    port = urlsplit(base).port
    sources = [source for source in load_sources(FOLDER / "sources.toml", port=port) if source.enabled]

    async def visit() -> list[tuple[Source, PollResult, PollResult]]:
        client = Client(AddressPolicy.parse([f"127.0.0.1:{port}"]), Limits(spacing=0.0), lambda: NOW)
        found = []
        for source in sources:
            quick = source.model_copy(update={"max_articles": 2})
            first = await poll(quick, SourceState(), client, lambda: NOW, random.Random(3))
            found.append((quick, first, await poll(quick, first.state, client, lambda: NOW, random.Random(3))))
        return found

    for source, first, second in asyncio.run(visit()):
        assert first.report.ok, first.report
        # Articles of lists and sitemaps are fetched one by one, a few at each visit.
        by_page = source.kind in ("web", "sitemap")
        expected = 2 if by_page else totals[source.id.removeprefix("sample-")]
        assert len(first.items) == expected, source.id
        assert all(item.title and item.published and item.published <= NOW for item in first.items)
        assert all(item.text or item.summary for item in first.items)
        assert second.report.ok, second.report
        if not by_page:
            assert second.report.outcome == "unchanged", source.id


def test_the_command_announces_itself_and_stops_on_sigterm() -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "verticals.finance.sample_feed", "--port", "0"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=os.environ.copy())
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert _get(f"{address}/shuchao/rss.xml")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
