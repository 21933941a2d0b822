"""Mixed traffic on the three APIs: predictions, replies, scores, pushed articles, appended events."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pandas as pd

from core.settings import PROJECT_ROOT

API = "http://127.0.0.1:8000"
PATIENCE_S = 120  # a request that is tried again


@dataclass(frozen=True)
class Done:
    """One request as its sender saw it: ``tries`` until it was answered, ``status`` of the last answer (0: none)."""

    route: str
    milliseconds: float
    status: int
    tries: int


@dataclass
class Traffic:
    """``clients`` threads, each sending its next request when it has the answer to its last.

    ``done`` has every request; ``pushed`` (titles) and ``appended`` (users) what was answered with success. Requests
    are numbered from ``first``, so that no two of them ever write the same.
    """

    clients: int
    model: str
    first: int = 0
    done: list[Done] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)
    appended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the shipped samples."""
        self._questions = pd.read_csv(PROJECT_ROOT / "data" / "samples" / "intents-test.csv")["text"].tolist()
        self._news = pd.read_csv(PROJECT_ROOT / "data" / "samples" / "finance-sentiment-test.csv")["text"].tolist()
        self._items = pd.read_csv(PROJECT_ROOT / "data" / "recommend" / "items.csv")["id"].astype(str).tolist()
        self._next = self.first
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._seconds = 0.0

    @contextlib.contextmanager
    def running(self, patient: bool = False) -> Iterator[None]:
        """Send meanwhile; ``patient``: a request without a good answer is tried again, as a careful client does."""
        self._stop.clear()
        began = time.monotonic()
        threads = [threading.Thread(target=self._work, args=(patient,)) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._seconds += time.monotonic() - began

    def summary(self) -> dict[str, Any]:
        """Requests, failures and milliseconds of each route."""
        routes = {}
        for name in sorted({one.route for one in self.done}):
            mine = [one for one in self.done if one.route == name]
            p50, p95, p99 = np.percentile([one.milliseconds for one in mine], (50, 95, 99))
            routes[name] = {
                "requests": len(mine),
                "failed": sum(not 200 <= one.status < 300 for one in mine),
                "p50_ms": float(p50),
                "p95_ms": float(p95),
                "p99_ms": float(p99),
            }
        return {"requests_per_second": len(self.done) / max(self._seconds, 1e-9), "by_route": routes}

    def _work(self, patient: bool) -> None:
        kinds: tuple[Callable[[int], tuple[str, dict[str, Any], Callable[[], None] | None]], ...] = (
            self._predict,
            self._reply,
            self._score,
            self._rank,
            self._push,
            self._append,
        )
        with httpx.Client(base_url=API, timeout=60) as client:
            while not self._stop.is_set():
                with self._lock:
                    number, self._next = self._next, self._next + 1
                path, body, succeeded = kinds[number % len(kinds)](number)
                one = self._send(client, path, body, patient)
                with self._lock:
                    self.done.append(one)
                    if succeeded is not None and 200 <= one.status < 300:
                        succeeded()

    def _send(self, client: httpx.Client, path: str, body: dict[str, Any], patient: bool) -> Done:
        began, tries = time.perf_counter(), 0
        while True:
            tries += 1
            try:
                answer = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
                status = answer.status_code
            except httpx.HTTPError:
                status = 0
            passed = time.perf_counter() - began
            if 200 <= status < 300 or not patient or passed > PATIENCE_S:
                return Done(path, passed * 1000, status, tries)
            time.sleep(0.2)

    def _predict(self, number: int) -> tuple[str, dict[str, Any], None]:
        return "/v1/predict", {"model": self.model, "texts": [self._of(self._questions, number)]}, None

    def _reply(self, number: int) -> tuple[str, dict[str, Any], None]:
        return "/v1/support/reply", {"text": self._of(self._questions, number)}, None

    def _score(self, number: int) -> tuple[str, dict[str, Any], None]:
        return "/v1/finance/score", {"texts": [self._of(self._news, number)]}, None

    def _rank(self, number: int) -> tuple[str, dict[str, Any], None]:
        candidates = [self._of(self._items, number + step) for step in range(50)]
        return "/v1/recommend/score", {"interest": self._of(self._questions, number), "candidates": candidates}, None

    def _push(self, number: int) -> tuple[str, dict[str, Any], Callable[[], None]]:
        title = f"{self._of(self._news, number)} (load {number})"
        body = {"articles": [{"title": title, "source": "load", "id": f"load-{number}"}]}
        return "/v1/finance/articles", body, lambda: self.pushed.append(title)

    def _append(self, number: int) -> tuple[str, dict[str, Any], Callable[[], None]]:
        user, now = f"load-{number}", datetime.now(UTC).isoformat()
        event = {"user": user, "item": self._of(self._items, number), "event": "click", "time": now}
        return "/v1/recommend/events", {"events": [event]}, lambda: self.appended.append(user)

    @staticmethod
    def _of(values: list[str], number: int) -> str:
        return values[number % len(values)]
