"""The layer around all others when requests are traced."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.middleware import METHODS, template
from core.operations.tracing import Tracing


class Traced:
    """A span for each request; named by the route's template, so that no path with an id in it becomes a name."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self.app, self.tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        with self.tracing.request(method, HTTPConnection(scope).headers) as done:
            try:
                await self.app(scope, receive, answer)
            finally:
                done(template(scope), status, scope.get("state", {}).get("request_id", ""))
