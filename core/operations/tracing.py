"""OpenTelemetry traces, when HEADWATER_OTLP_ENDPOINT says where they go (``http://127.0.0.1:4318/v1/traces``).

A span for each request of the API, by route template, and one for each run of a job; never a text, name or address of
a customer. Names and attributes are those of the OpenTelemetry semantic conventions (HTTP 1.23 and later). What the
exporter itself can be told (headers, certificates, sampling) are the standard OTEL_* environment variables.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from core.errors import InputError, MissingExtra

ENDPOINT = "HEADWATER_OTLP_ENDPOINT"
JobSpan = Callable[[str, str], AbstractContextManager[Any]]


class Tracing:
    """Makes spans for one service and hands them to ``exporter``, in a thread of its own unless ``at_once``."""

    def __init__(self, exporter: Any, service: str, at_once: bool = False) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": f"headwater-{service}"}))
        self._provider.add_span_processor((SimpleSpanProcessor if at_once else BatchSpanProcessor)(exporter))
        self._tracer = self._provider.get_tracer("headwater")

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Callable[[str, int, str], None]]:
        """A span around one request, part of the caller's trace if ``headers`` tell one (W3C Trace Context).

        Yields what is to be called at the end, with route template, status and request id.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(dict(headers))
        with self._tracer.start_as_current_span(method, parent, SpanKind.SERVER, record_exception=False) as span:

            def done(route: str, status: int, request_id: str) -> None:
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {
                        "http.request.method": method,
                        "http.route": route,
                        "http.response.status_code": status,
                        "headwater.request_id": request_id,
                    }
                )
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR))

            yield done

    @contextmanager
    def job(self, vertical: str, job: str) -> Iterator[None]:
        """A span around one run of a job; an error is told by its kind alone, since its message may hold a text."""
        from opentelemetry.trace import Status, StatusCode

        attributes = {"headwater.vertical": vertical, "headwater.job": job}
        with self._tracer.start_as_current_span(
            f"{vertical}.{job}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", type(error).__name__)
                raise

    def close(self) -> None:
        """Send what is still here."""
        self._provider.shutdown()


def no_span(vertical: str, job: str) -> AbstractContextManager[Any]:
    """Instead of ``Tracing.job`` where nothing is traced."""
    return nullcontext()


def from_environment(service: str) -> Tracing | None:
    """What HEADWATER_OTLP_ENDPOINT asks for; None without it.

    Raises InputError for what is no http address, MissingExtra when the packages are not installed.
    """
    endpoint = os.environ.get(ENDPOINT, "").strip()
    if not endpoint:
        return None
    if not endpoint.startswith(("http://", "https://")):
        raise InputError(f"{ENDPOINT}: write an address such as http://127.0.0.1:4318/v1/traces.")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return Tracing(OTLPSpanExporter(endpoint=endpoint), service)
    except ImportError:
        raise MissingExtra(f"{ENDPOINT} (OpenTelemetry)", "pip install 'headwater[otel]'") from None
