"""Where the news comes from: one typed row per source, read from TOML, and what polling remembers about it."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from core.errors import InputError

Kind = Literal["rss", "atom", "json_feed", "web", "sitemap", "json_api", "folder", "csv"]
LOCAL_KINDS = frozenset({"folder", "csv"})

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The client sets these itself; a source that did would break conditional requests, framing or the address check.
_OWN_HEADERS = frozenset(
    (
        *("accept-encoding", "connection", "content-length", "host", "if-modified-since", "if-none-match"),
        *("proxy-authorization", "te", "transfer-encoding", "upgrade", "user-agent"),
    )
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TABLE = re.compile(r"^\s*\[\[\s*sources\s*\]\]", re.MULTILINE)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        if not (match := _DURATION.fullmatch(value.strip())):
            raise ValueError(f"{value!r} is not a duration; write for example '90s', '15m', '2h' or '1d'")
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    return value


def _selector(value: Any) -> Any:
    import cssselect

    if isinstance(value, str) and value:
        try:
            cssselect.parse(value)
        except cssselect.SelectorError as error:
            raise ValueError(f"{value!r} is not a CSS selector: {error}") from error
    return value


def _expression(value: Any) -> Any:
    import jmespath

    if isinstance(value, str) and value:
        try:
            jmespath.compile(value)
        except jmespath.exceptions.JMESPathError as error:
            raise ValueError(f"{value!r} is not a JMESPath expression: {str(error).splitlines()[0]}") from error
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Selector = Annotated[str, BeforeValidator(_selector)]
Expression = Annotated[str, BeforeValidator(_expression)]


class Selectors(BaseModel):
    """CSS selectors for a page that lists articles; all but ``item`` are looked up inside each item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: Selector = Field(min_length=1, description="one element per article")
    link: Selector = Field(default="a[href]", description="the element with the address; the item itself may be it")
    title: Selector = Field(default="", description="the link's text when empty")
    summary: Selector = ""
    published: Selector = Field(default="", description="a <time datetime> or an element whose text is a date")


class Paths(BaseModel):
    """JMESPath expressions (jmespath.org) for a JSON API; all but ``items``, ``next`` are applied to each item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: Expression = Field(min_length=1, description="the list of articles in the answer")
    title: Expression = "title"
    url: Expression = "url"
    id: Expression = "id"
    summary: Expression = ""
    text: Expression = ""
    published: Expression = ""
    next: Expression = Field(default="", description="address of the next page, or a cursor for cursor_parameter")
    cursor_parameter: str = Field(default="", description="query parameter that takes the cursor found by next")
    page_parameter: str = Field(default="", description="query parameter that counts pages")
    first_page: int = Field(default=1, ge=0)
    max_pages: int = Field(default=5, ge=1, le=100)


class Source(BaseModel):
    """One place to poll. ``headers`` may carry keys: their values never appear in logs, errors or ``repr``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    url: str = Field(min_length=1, max_length=2048, description="a path for the kinds folder and csv")
    kind: Kind
    name: str = Field(default="", max_length=200)
    interval: Duration = timedelta(minutes=30)
    headers: dict[str, SecretStr] = {}
    selectors: Selectors | None = None
    paths: Paths | None = None
    full_text: bool = Field(default=False, description="fetch each new article's page and extract its text")
    max_articles: int = Field(default=20, ge=0, le=500, description="article pages fetched in one poll at most")
    robots: bool = Field(default=True, description="obey robots.txt; turn off only for an interface you may call")
    timezone: str = Field(default="UTC", description="of dates that name none")
    tags: tuple[str, ...] = ()
    language: str | None = Field(default=None, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    enabled: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "Source":
        if not timedelta(seconds=10) <= self.interval <= timedelta(days=31):
            raise ValueError("interval must be between 10 seconds and 31 days")
        if self.kind in LOCAL_KINDS:
            if "://" in self.url:
                raise ValueError(f"kind {self.kind} reads this machine's files: url must be a path")
        else:
            _check_web_address(self.url)
        for name, wanted in (("selectors", "web"), ("paths", "json_api")):
            given = getattr(self, name) is not None
            if given != (self.kind == wanted):
                raise ValueError(f"kind {self.kind} {'takes no' if given else 'needs'} {name}")
        for header, value in self.headers.items():
            _check_header(header, value.get_secret_value())
        from dateutil.tz import gettz

        if gettz(self.timezone) is None:
            raise ValueError(f"timezone {self.timezone!r} is unknown; write for example 'America/New_York'")
        return self

    @property
    def is_local(self) -> bool:
        """Whether it is read from disk, without the network."""
        return self.kind in LOCAL_KINDS

    def request_headers(self) -> dict[str, str]:
        """The headers with their values in clear, for the request alone."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}


def _check_web_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"url {url!r} is not an address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must not carry a user name or password; put an Authorization header under headers")
    if any(ord(character) <= 32 for character in url):
        raise ValueError("url must not contain blanks or control characters")


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"headers: {name!r} is not a header name")
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"headers: {name} is set by the client itself; remove it")
    if not value.isascii() or any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError(f"headers: the value of {name} has characters that a header cannot carry")


@dataclass(frozen=True)
class SourceState:
    """What polling remembers between two visits. Times are UTC."""

    etag: str | None = None
    last_modified: str | None = None
    cursor: str = ""  # how far a folder, archive or sitemap was read; only its reader knows the format
    next_check: datetime | None = None  # due at once when None
    last_check: datetime | None = None
    last_success: datetime | None = None
    last_outcome: str = ""
    last_error: str | None = None
    failures: int = 0  # in a row
    backoff: timedelta | None = None  # the wait drawn after the latest failure

    def is_due(self, now: datetime) -> bool:
        """Whether the time of the next check has come."""
        return self.next_check is None or self.next_check <= now

    def to_dict(self) -> dict[str, Any]:
        """Plain values: times in ISO 8601, the backoff in seconds."""
        values: dict[str, Any] = asdict(self)
        for name in ("next_check", "last_check", "last_success"):
            values[name] = values[name].isoformat() if values[name] else None
        values["backoff"] = self.backoff.total_seconds() if self.backoff is not None else None
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SourceState":
        """The inverse of ``to_dict``."""
        plain = dict(values)
        for name in ("next_check", "last_check", "last_success"):
            plain[name] = datetime.fromisoformat(plain[name]) if plain.get(name) else None
        plain["backoff"] = timedelta(seconds=plain["backoff"]) if plain.get("backoff") is not None else None
        return cls(**plain)


def load_sources(
    path: Path, port: int | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Source, ...]:
    """Read ``[[sources]]`` tables from a TOML file, in their order.

    ``{port}`` in a url becomes ``port`` (the local sample server); ``${NAME}`` in a header's value becomes that
    environment variable; a relative path is taken from the file's folder. Raises InputError with file, line,
    source and field.
    """
    rows, lines = _rows(path)
    found: dict[str, Source] = {}
    for number, row in enumerate(rows):
        line = f", line {lines[number]}" if lines else ""
        where = f"{path}{line}: source {row.get('id') or number + 1!r}"
        source = read_source(row, where, path.parent, port, environment)
        if source.id in found:
            raise InputError(f"{where}: another source above has this id; give each its own.")
        found[source.id] = source
    return tuple(found.values())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The ``[[sources]]`` tables as they are written, all of them checked to be tables. Raises InputError."""
    return _rows(path)[0]


def _rows(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The tables and the line of each; no lines where they cannot be told."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}.") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from error
    rows = document.pop("sources", None)
    if document:
        raise InputError(f"{path}: {next(iter(document))!r} is not known; write [[sources]] tables only.")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} has no sources; add a [[sources]] table with id, url and kind.")
    lines = [text.count("\n", 0, match.end()) + 1 for match in _TABLE.finditer(text)]
    return rows, lines if len(lines) == len(rows) else []


def read_source(
    row: Mapping[str, Any],
    where: str,
    folder: Path,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Source:
    """One source from the values of its table; placeholders as for ``load_sources``. Raises InputError."""
    row = dict(row)
    environment = os.environ if environment is None else environment
    if isinstance(url := row.get("url"), str) and "{port}" in url:
        if port is None:
            raise InputError(f"{where}, field url: it waits for the sample server's port, and none was given.")
        row["url"] = url.replace("{port}", str(port))
    if isinstance(row.get("headers"), dict):
        row["headers"] = {k: _filled(v, f"{where}, header {k}", environment) for k, v in row["headers"].items()}
    try:
        source = Source.model_validate(row)
    except ValidationError as error:
        raise InputError(f"{where}{_first_problem(error)}") from None  # the cause would show a header's value
    if source.is_local:
        source = source.model_copy(update={"url": str(folder / Path(source.url).expanduser())})
    return source


def _filled(value: Any, where: str, environment: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise InputError(f"{where}: the environment variable {match[1]} is not set; set it or disable the source.")
        return environment[match[1]]

    return _VARIABLE.sub(variable, value)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return (f", field {field}: {message}" if field else f": {message}").rstrip(".") + "."
