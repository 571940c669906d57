"""Spans of requests for OpenTelemetry: an extra, which is imported only where it is asked for."""

from collections.abc import Mapping
from typing import Any

from ..errors import InputError

_NAMES = {  # of what is noted of a request, in OpenTelemetry's words
    "request_id": "gen_ai.request.id",
    "num_prompt_tokens": "gen_ai.usage.input_tokens",
    "num_output_tokens": "gen_ai.usage.output_tokens",
    "num_cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "finish_reasons": "gen_ai.response.finish_reasons",
}


class Tracing:
    """Sends a span for each request to an OTLP endpoint, in a thread of its own.

    Raises InputError if the extra is not installed.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.propagate import extract
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind
        except ImportError as error:
            raise InputError(
                f"otlp_traces_endpoint needs {error.name}; pip install 'tapeout[otel]'"
            ) from None
        self._provider = TracerProvider(resource=Resource.create({"service.name": "tapeout"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._tracer = self._provider.get_tracer("tapeout")
        self._extract, self._kind = extract, SpanKind.SERVER

    def record(
        self, scope: Mapping[str, Any], facts: Mapping[str, Any], start_ns: int, end_ns: int
    ) -> None:
        """Tells of a request that is over; it belongs to the trace that its headers name."""
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        span = self._tracer.start_span(
            f"{scope['method']} {facts['path']}",
            context=self._extract(headers),
            kind=self._kind,
            start_time=start_ns,
        )
        span.set_attribute("http.request.method", scope["method"])
        span.set_attribute("url.path", facts["path"])
        span.set_attribute("http.response.status_code", facts["status"])
        for name, attribute in _NAMES.items():
            if name in facts:
                span.set_attribute(attribute, facts[name])
        span.end(end_ns)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()
