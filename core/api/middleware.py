"""What happens around every request: an id, one log line, figures, limits, and an answer even to the unexpected."""

import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from limits import RateLimitItem
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.access import identify
from core.api.logs import logger, where
from core.api.metrics import Metrics
from core.api.problems import Unavailable, problem, retry_after

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


class Around:
    """The outermost layer: request id in and out, log line, figures, and status 500 for what nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self.app, self.metrics, self.clock = app, metrics, clock
        self.log = logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = HTTPConnection(scope).headers.get("x-request-id", "")
        number = given if _ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = number
        begun, status = self.clock(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                names = {name for name, _ in message["headers"]}
                extra = [(name, value) for name, value in _HEADERS if name not in names]
                message = {
                    **message,
                    "headers": [*message["headers"], (b"x-request-id", number.encode()), *extra],
                }
            await send(message)

        failure: dict[str, Any] = {}
        try:
            await self.app(scope, receive, answer)
        except Unavailable as error:
            await problem(503, str(error), number, retry_after(error.retry_after_s))(scope, receive, answer)
        except Exception as error:
            failure = where(error)
            if not status:
                detail = "An error of ours; it is in the log under this request id."
                await problem(500, detail, number)(scope, receive, answer)
        finally:
            seconds = self.clock() - begun
            route = template(scope)
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            self.metrics.observe(method, route, status, seconds)
            caller = state.get("caller")
            (self.log.error if failure else self.log.info)(
                "request",
                request_id=number,
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                caller=caller.name if caller else None,
                **failure,
            )


def template(scope: Scope) -> str:
    """The route's path as it was declared, prefixes of the routers around it included."""
    context = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(context, "path", None) or getattr(scope.get("route"), "path", None) or "unmatched"


METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Limits:
    """Before a body is read: who calls (under /v1 somebody must be known), how often, and how much may come.

    ``own_limits``: bytes by path, for routes without parameters in it that say ``max_body_size`` (uploads).
    """

    def __init__(
        self, app: ASGIApp, rate: RateLimitItem, storage: str, body_limit: int, own_limits: Mapping[str, int]
    ) -> None:
        self.app, self.body_limit, self.own_limits = app, body_limit, own_limits
        self.item = rate
        self.limiter = SlidingWindowCounterRateLimiter(storage_from_string(storage))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number = scope["state"]["request_id"]
        connection = HTTPConnection(scope)
        if scope["path"].startswith("/v1/"):
            caller = await identify(connection)
            client = scope.get("client")
            who = f"key {caller.name}" if caller else f"address {client[0] if client else ''}"
            if not await self.limiter.hit(self.item, who):
                stats = await self.limiter.get_window_stats(self.item, who)
                detail = f"More than {self.item.amount} requests in {self.item.get_expiry()} s; try again later."
                wait = retry_after(stats.reset_time - time.time())
                await problem(429, detail, number, wait)(scope, receive, send)
                return
            if caller is None:
                detail = "Send a valid key as: Authorization: Bearer KEY."
                await problem(401, detail, number, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        most = self.own_limits.get(scope["path"], self.body_limit)
        too_large = f"The body is larger than {most:,} bytes; send less at a time."
        length = connection.headers.get("content-length", "")
        if length.isdigit() and (len(length) > 18 or int(length) > most):
            await problem(413, too_large, number, {"Connection": "close"})(scope, receive, send)
            return
        come = 0

        async def take() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > most:
                raise HTTPException(413, too_large, {"Connection": "close"})
            return message

        await self.app(scope, take, send)
