"""A local web server with the synthetic sample news: feeds, list pages, a sitemap and an interface over real HTTP.

It also takes alerts: what is posted to ``/inbox`` can be read there, so that delivery can be seen without an account.

Every answer says that its content is synthetic. ``python -m verticals.finance.sample_feed --port 0`` prints its
address as one line and serves until SIGTERM or Ctrl-C.
"""

import argparse
import gzip
import hashlib
import json
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from core.errors import InputError
from verticals.finance import sample_pages
from verticals.finance.sample_pages import OUTLETS, Document

FOLDER = Path(__file__).resolve().parents[2] / "data" / "finance"
RECENT = 30  # articles in a feed that is not the archive
PAGE_SIZE = 50  # of the JSON interface, at most 200
MAX_MESSAGE = 1_000_000  # bytes taken by the inbox at once
MAX_AGE = 60  # seconds an answer may be reused
_FIELDS = {"id": str, "source": str, "minutes_ago": int, "title": str, "summary": str, "body": str, "language": str}
_LABELS = {"topic": str, "sentiment": str, "story": str, "companies": list, "synthetic": bool}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleArticle:
    """One synthetic article, dated. Topic, sentiment and story are our judgement and are never served."""

    id: str
    source: str
    published: datetime
    title: str
    summary: str
    body: str
    language: str
    companies: tuple[str, ...]
    topic: str
    sentiment: str
    story: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the time in ISO 8601."""
        return {**asdict(self), "companies": list(self.companies), "published": self.published.isoformat()}


def load_articles(path: Path, now: datetime) -> list[SampleArticle]:
    """The articles of a JSON-lines file, newest first, dated ``minutes_ago`` before ``now`` (to the minute, UTC).

    Raises InputError naming file, line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    if now.tzinfo is None:
        raise ValueError("now must know its time zone")
    anchor = now.astimezone(UTC).replace(second=0, microsecond=0)
    articles: dict[str, SampleArticle] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        article = _article(line, f"{path}, line {number}", anchor)
        if article.id in articles:
            raise InputError(f"{path}, line {number}, field id: {article.id!r} is there twice; give each its own.")
        articles[article.id] = article
    if not articles:
        raise InputError(f"{path} has no articles; write one JSON object a line.")
    return sorted(articles.values(), key=lambda a: (a.published, a.id), reverse=True)


def _article(line: str, where: str, anchor: datetime) -> SampleArticle:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON ({error}).") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: write a JSON object.")
    for name, kind in (_FIELDS | _LABELS).items():
        if type(row.get(name)) is not kind:
            raise InputError(f"{where}, field {name}: needs a {kind.__name__}.")
    if row["source"] not in OUTLETS:
        raise InputError(f"{where}, field source: {row['source']!r} is unknown; choose from {', '.join(OUTLETS)}.")
    if not 0 <= row["minutes_ago"] <= 366 * 24 * 60:
        raise InputError(f"{where}, field minutes_ago: must be between 0 and a year.")
    if not row["synthetic"]:
        raise InputError(f"{where}, field synthetic: must be true; the sample server serves no real news.")
    values = {name: row[name] for name in (*_FIELDS, "topic", "sentiment", "story") if name != "minutes_ago"}
    published = anchor - timedelta(minutes=row["minutes_ago"])
    return SampleArticle(**values, published=published, companies=tuple(row["companies"]))


class Site:
    """What lies under which path. Dates are fixed when it is made: a feed whose dates move is never unchanged."""

    def __init__(self, articles: Sequence[SampleArticle], base: str, archive: bool = False) -> None:
        self.base = base
        self.archive = archive
        self._by_outlet = {name: [a for a in articles if a.source == name] for name in OUTLETS}
        self._by_id = {a.id: a for a in articles}

    def find(self, path: str, query: dict[str, list[str]]) -> Document | None:
        """The document under a path, or None."""
        if path in ("/", "/index.html"):
            return sample_pages.index(self.base)
        if path == "/robots.txt":
            return sample_pages.robots(self.base)
        if path == "/sitemap.xml":
            newest = {name: rows[0].published for name, rows in self._by_outlet.items() if rows}
            return sample_pages.sitemap_index(newest, self.base)
        if path == "/desk/drafts.html":
            return sample_pages.drafts()
        everything = self.archive or path.startswith("/archive/")
        parts = path.removeprefix("/archive").strip("/").split("/")
        if parts[0] not in OUTLETS:
            return None
        if len(parts) == 3 and parts[1] == "articles":
            article = self._by_id.get(parts[2].removesuffix(".html"))
            if article is None or article.source != parts[0] or not parts[2].endswith(".html"):
                return None
            related = [a for a in self._by_outlet[parts[0]][:6] if a.id != article.id]
            return sample_pages.article_page(article, related[:4], self.base)
        rows = self._by_outlet[parts[0]]
        if parts[1:] == ["api", "articles"]:
            return self._page(rows if everything else rows[:RECENT], path, query)
        kind = sample_pages.FEEDS.get("/".join(parts[1:]))
        if kind is None:
            return None
        return kind(OUTLETS[parts[0]], rows if everything else rows[:RECENT], self.base, self.base + path)

    def _page(self, rows: Sequence[SampleArticle], path: str, query: dict[str, list[str]]) -> Document:
        numbers = {"page": 1, "per_page": PAGE_SIZE}
        for name in numbers:
            given = query.get(name, [str(numbers[name])])[-1]
            if not (
                given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= (200 if name == "per_page" else 10**6)
            ):
                return sample_pages.bad_request(f"{name} must be a whole number from 1")
            numbers[name] = int(given)
        return sample_pages.interface(rows, numbers["page"], numbers["per_page"], self.base, self.base + path)


class Inbox:
    """The latest messages that were posted, each once, with how often it came."""

    def __init__(self, clock: Callable[[], datetime], size: int = 200) -> None:
        self._clock, self._size = clock, size
        self._lock = threading.Lock()
        self._messages: dict[str, dict[str, Any]] = {}

    def take(self, key: str, message: dict[str, Any]) -> None:
        """Keep a message; the same key again only counts."""
        with self._lock:
            known = self._messages.get(key)
            if known is not None:
                known["times"] += 1
                return
            self._messages[key] = {"key": key, "at": self._clock().isoformat(), "times": 1, "message": message}
            while len(self._messages) > self._size:
                del self._messages[next(iter(self._messages))]

    def document(self) -> Document:
        """All of them, newest first."""
        with self._lock:
            rows = list(self._messages.values())[::-1]
        text = json.dumps({"messages": rows}, ensure_ascii=False, indent=1)
        return Document(text.encode(), "application/json; charset=utf-8")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "HeadwaterSampleFeed/1"
    sys_version = ""
    timeout = 15  # seconds an idle connection may stay
    site: Site
    inbox: Inbox

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/inbox" or not length.isdigit() or int(length) > MAX_MESSAGE:
            self.close_connection = True
            self.send_error(404 if length.isdigit() and int(length) <= MAX_MESSAGE else 413)
            return
        body = self.rfile.read(int(length))
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.send_error(400, "write a JSON object")
            return
        key = self.headers.get("Idempotency-Key") or hashlib.sha256(body).hexdigest()
        self.inbox.take(key, message)
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        parts = urlsplit(self.path)
        inbox = parts.path == "/inbox"
        document = self.inbox.document() if inbox else self.site.find(parts.path, parse_qs(parts.query))
        if document is None:
            document = sample_pages.not_found()
        body, headers = document.body, {"Content-Type": document.media_type, "X-Sample": "synthetic"}
        status = document.status
        if status == 200:
            etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
            headers |= {"ETag": etag, "Cache-Control": f"public, max-age={MAX_AGE}", "Vary": "Accept-Encoding"}
            if document.modified is not None:
                headers["Last-Modified"] = format_datetime(document.modified, usegmt=True)
            if self._unchanged(etag, document.modified):
                status, body = 304, b""
            elif self._takes_gzip():
                body = gzip.compress(body, 6, mtime=0)
                headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        if status != 304:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _unchanged(self, etag: str, modified: datetime | None) -> bool:
        """RFC 9110, 13.2.2: If-None-Match decides alone when it is there."""
        if (given := self.headers.get("If-None-Match")) is not None:
            return given.strip() == "*" or etag in (tag.strip() for tag in given.split(","))
        since = self.headers.get("If-Modified-Since")
        if since is None or modified is None:
            return False
        try:
            return modified <= parsedate_to_datetime(since).replace(tzinfo=UTC)
        except (ValueError, TypeError):
            return False

    def _takes_gzip(self) -> bool:
        for part in self.headers.get("Accept-Encoding", "").lower().split(","):
            coding, _, weight = part.partition(";")
            if coding.strip() in ("gzip", "*"):
                return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        return False

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("%s %s", self.address_string(), format % args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def serve(
    port: int = 0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    folder: Path = FOLDER,
    archive: bool = False,
    host: str = "127.0.0.1",
) -> Iterator[str]:
    """Serve the sample in a thread and yield the base address, without a slash at the end.

    The clock is read once, at the start. ``/archive/<outlet>/…`` always holds everything; ``<outlet>/…`` the latest
    30 unless ``archive``. Raises InputError when the sample cannot be read or the port is taken.
    """
    articles = load_articles(folder / "articles.jsonl", clock())
    handler = type("Handler", (_Handler,), {})
    try:
        server = _Server((host, port), handler)
    except (OSError, OverflowError) as error:
        raise InputError(f"The sample server cannot listen on {host}:{port} ({error}); choose another port.") from error
    base = f"http://{host}:{server.server_address[1]}"
    handler.site = Site(articles, base, archive)  # type: ignore[attr-defined]
    handler.inbox = Inbox(clock)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield base
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m verticals.finance.sample_feed", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--host", default="127.0.0.1", help="loopback unless told otherwise")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where articles.jsonl lies")
    parser.add_argument("--archive", action="store_true", help="serve all articles, not the latest 30 of each outlet")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        with serve(options.port, folder=options.folder, archive=options.archive, host=options.host) as base:
            print(base, flush=True)
            stop.wait()
    except InputError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
