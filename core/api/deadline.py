"""No request hangs: what has not begun to be answered in time gets a 503."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.problems import problem, retry_after


class Deadline:
    """Answers for whatever is inside when it takes longer than ``seconds`` to begin its answer.

    A thread cannot be stopped: work that was begun in one goes on, and its late answer is thrown away. An answer that
    has begun (a stream of events) may take as long as it likes.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds
        self._abandoned: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or give up on it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = late = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if not late:
                begun = True
                await send(message)

        task = asyncio.ensure_future(self.app(scope, receive, answer))
        try:
            done, _ = await asyncio.wait({task}, timeout=self.seconds)
            if not done and begun:
                await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            task.result()  # raises what was raised inside
            return
        late = True
        self._abandoned.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._forget)
        detail = f"There was no answer within {self.seconds:g} s; what was asked may be done nevertheless."
        number = scope.get("state", {}).get("request_id")
        await problem(503, detail, number, retry_after(self.seconds))(scope, receive, send)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # so that it counts as heard
