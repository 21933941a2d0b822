"""Server-sent events: an answer that comes piece by piece."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse

from core.api.logs import logger, where


def event(name: str, data: Any) -> bytes:
    """One event in the format of the HTML standard (9.2.6); ``data`` becomes one line of JSON."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode("utf-8", "replace")


def stream(events: AsyncIterator[tuple[str, Any]] | Iterable[tuple[str, Any]]) -> StreamingResponse:
    """A ``text/event-stream`` of (name, data) pairs; data are plain JSON values.

    A failure on the way becomes a last event ``error``, since the status has gone out long before.
    """

    async def pieces() -> AsyncIterator[bytes]:
        source = events if isinstance(events, AsyncIterator) else iterate_in_threadpool(iter(events))
        try:
            async for name, data in source:
                yield event(name, data)
        except Exception as error:
            logger().error("stream", **where(error))
            yield event("error", {"title": "Internal Server Error", "status": 500})

    # Proxies would gather small pieces into large ones.
    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
