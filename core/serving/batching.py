"""Micro-batching: what arrives within a few milliseconds from many callers is computed in one call.

The queue is bounded (more is refused at once, with the time after which to try again), every request has a
deadline, and one bad request does not fail the others of its batch.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MOST_WAIT_S = 60.0


class Overloaded(Exception):
    """Too many requests are waiting; ``retry_after_s`` estimates when there is room again, in seconds."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many requests are waiting; try again in {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class DeadlineExceeded(Exception):
    """The request could not be answered in time; if it had not begun, it never will."""


@dataclass(eq=False)
class _Request(Generic[T, R]):
    item: T
    expires: float
    arrived: float
    future: "Future[R]" = field(default_factory=Future)
    answered: bool = False


class Batcher(Generic[T, R]):
    """Groups single items of concurrent callers into calls of ``run``; thread-safe.

    ``run`` takes up to ``max_batch`` items and returns one result each, in order; it is called by one thread.
    The first item of a batch waits at most ``max_wait_ms`` for company. At most ``bound`` requests are unanswered
    at a time. A request that is not answered ``deadline_s`` after its submission gets DeadlineExceeded then, also
    when ``run`` hangs. From asyncio: ``await asyncio.wrap_future(batcher.submit(item))``.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R]],
        max_batch: int = 64,
        max_wait_ms: float = 2.0,
        bound: int = 256,
        deadline_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_batch < 1 or bound < 1 or max_wait_ms < 0 or deadline_s <= 0:
            raise ValueError("max_batch and bound must be at least 1, max_wait_ms not negative, deadline_s above 0")
        self._run, self._clock = run, clock
        self._max_batch, self._max_wait_s = max_batch, max_wait_ms / 1000
        self._bound, self._deadline_s = bound, deadline_s
        self._changed = threading.Condition()
        self._queue: deque[_Request[T, R]] = deque()  # not begun
        self._open: deque[_Request[T, R]] = deque()  # not answered, by deadline; answered ones leave lazily
        self._unanswered = 0
        self._seconds_each = 0.0  # smoothed over batches
        self._closed = False
        self._threads = [
            threading.Thread(target=target, name=f"batcher-{target.__name__}", daemon=True)
            for target in (self._work, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def unanswered(self) -> int:
        """Requests that wait or are being computed."""
        with self._changed:
            return self._unanswered

    def submit(self, item: T) -> "Future[R]":
        """Queue one item. Raises Overloaded at once when the bound is reached, RuntimeError after ``close``."""
        with self._changed:
            if self._closed:
                raise RuntimeError("this batcher is closed")
            if self._unanswered >= self._bound:
                raise Overloaded(self._retry_after())
            now = self._clock()
            request: _Request[T, R] = _Request(item, now + self._deadline_s, now)
            self._queue.append(request)
            self._open.append(request)
            self._unanswered += 1
            self._changed.notify_all()
            return request.future

    def close(self, timeout_s: float | None = None) -> None:
        """Refuse new requests, answer those that wait, and stop. After ``timeout_s`` the rest get DeadlineExceeded."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._threads[0].join(timeout_s)
        if self._threads[0].is_alive():
            with self._changed:
                left = list(self._open)
                self._queue.clear()
            for request in left:
                self._answer(request, error=DeadlineExceeded("the server is stopping"))
        self._threads[1].join(1.0)

    def __enter__(self) -> "Batcher[T, R]":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _work(self) -> None:
        while batch := self._next_batch():
            begun = self._clock()
            self._compute(batch)
            each = (self._clock() - begun) / len(batch)
            self._seconds_each = each if not self._seconds_each else 0.8 * self._seconds_each + 0.2 * each

    def _next_batch(self) -> list[_Request[T, R]]:
        """The next requests to compute; empty when closed and drained."""
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return []
                full_at = self._queue[0].arrived + self._max_wait_s
                while len(self._queue) < self._max_batch and not self._closed:
                    left = full_at - self._clock()
                    if left <= 0 or not self._changed.wait(left):
                        break
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._max_batch))]
            batch = [request for request in taken if self._begin(request)]
            if batch:
                return batch

    def _begin(self, request: _Request[T, R]) -> bool:
        """Whether the request still has to be computed; one whose caller has gone or is late has not."""
        if self._clock() >= request.expires:
            self._answer(request, error=DeadlineExceeded("the request waited past its deadline"))
        with self._changed:
            if request.answered:
                return False
            if request.future.set_running_or_notify_cancel():
                return True
        self._answer(request)
        return False

    def _compute(self, batch: list[_Request[T, R]]) -> None:
        try:
            results = list(self._run([request.item for request in batch]))
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} requests")
        except BaseException as error:  # whatever it is, the callers get it and the thread lives on
            if len(batch) == 1 or not isinstance(error, Exception):
                for request in batch:
                    self._answer(request, error=error)
                return
            for request in batch:  # one of them is at fault: alone, the others succeed
                if self._clock() >= request.expires:
                    self._answer(request, error=DeadlineExceeded("the request waited past its deadline"))
                elif not request.answered:
                    self._compute([request])
            return
        for request, result in zip(batch, results, strict=True):
            self._answer(request, result)

    def _answer(self, request: _Request[T, R], result: R | None = None, error: BaseException | None = None) -> None:
        with self._changed:
            if request.answered:
                return
            request.answered = True
            self._unanswered -= 1
            while self._open and self._open[0].answered:
                self._open.popleft()
            self._changed.notify_all()
        # Outside the lock, because the future's callbacks run here; a caller may cancel at this very moment.
        with contextlib.suppress(InvalidStateError):
            if error is not None:
                request.future.set_exception(error)
            elif not request.future.cancelled():
                request.future.set_result(result)  # type: ignore[arg-type]

    def _watch(self) -> None:
        """Answer each request at its deadline at the latest, whatever the worker is doing."""
        while True:
            with self._changed:
                while self._open and self._open[0].answered:
                    self._open.popleft()
                if not self._open:
                    if self._closed and not self._threads[0].is_alive():
                        return
                    self._changed.wait(None if not self._closed else 0.05)
                    continue
                first = self._open[0]
                left = first.expires - self._clock()
                if left > 0:
                    self._changed.wait(min(left, _MOST_WAIT_S))
                    continue
            self._answer(first, error=DeadlineExceeded("the request was not answered by its deadline"))

    def _retry_after(self) -> float:
        """Seconds until the requests in front are answered, at the pace of the last batches."""
        return min(_MOST_WAIT_S, max(0.1, self._unanswered * self._seconds_each))
