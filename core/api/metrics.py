"""Figures for Prometheus. Each app counts for itself; labels are route templates, never paths or texts."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Requests by route and status, their latency in seconds, and what ``models`` tells when asked.

    ``models`` gives (name, state, texts waiting) of each model that is loaded, being loaded or failed to load;
    ``more`` what else is to be told, as it is at that moment.
    """

    def __init__(
        self,
        models: Callable[[], Iterable[tuple[str, str, int]]],
        more: Callable[[], Iterable[Metric]] = tuple,
    ) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("headwater_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "headwater_request_seconds",
            "Seconds from a request's arrival to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._models, self._more = models, more
        self.registry.register(self)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """What is read at the moment of asking; prometheus_client calls this."""
        states = GaugeMetricFamily("headwater_model", "1 for the state a model is in.", labels=("model", "state"))
        waiting = GaugeMetricFamily(
            "headwater_queue_texts", "Texts waiting for a model or being computed.", labels=("model",)
        )
        for name, state, texts in self._models():
            states.add_metric((name, state), 1)
            waiting.add_metric((name,), texts)
        yield states
        yield waiting
        yield from self._more()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
