"""What operators watch, in vLLM's names behind `tapeout:`.

Fronts count together through files in a folder of the supervisor's, so that any of them tells of
all; how the engine stands each of them knows. Without such a folder a front counts for itself.
"""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ..runtime.outputs import RequestOutput
from .child import METRICS_VARIABLE
from .engine_client import EngineClient

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TOKENS = tuple(2**exponent for exponent in range(18))
_COUNTERS = {
    "prompt_tokens": "Of all prompts.",
    "generation_tokens": "Of all completions.",
    "prefix_cache_queries": "Prompt tokens that were looked for in the cache.",
    "prefix_cache_hits": "Prompt tokens that were found there.",
    "admission_rejections": "Requests that there was no room for.",
}
_HISTOGRAMS = {
    "time_to_first_token_seconds": ("From a request's coming to its first token.", _SECONDS),
    "inter_token_latency_seconds": ("From one piece of a stream to the next.", _SECONDS),
    "request_time_per_output_token_seconds": ("Mean of a request behind its first.", _SECONDS),
    "e2e_request_latency_seconds": ("From a request's coming to its last token.", _SECONDS),
    "request_prompt_tokens": ("Of a prompt.", _TOKENS),
    "request_generation_tokens": ("Of all completions of a prompt.", _TOKENS),
}


class Metrics:
    """The counts and times of all requests."""

    def __init__(self, engine: EngineClient) -> None:
        own = CollectorRegistry()  # what is counted here is read from the files
        self._counters = {
            name: Counter(f"tapeout:{name}", text, registry=own) for name, text in _COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(f"tapeout:{name}", text, buckets=buckets, registry=own)
            for name, (text, buckets) in _HISTOGRAMS.items()
        }
        self._success = Counter(
            "tapeout:request_success", "Completions.", ["finished_reason"], registry=own
        )
        self._all = own
        if METRICS_VARIABLE in os.environ:
            self._all = CollectorRegistry()
            MultiProcessCollector(self._all)  # type: ignore[no-untyped-call]
        self._all.register(_EngineCollector(engine))

    def render(self) -> bytes:
        """Prometheus's text."""
        return generate_latest(self._all)

    def count(self, name: str, amount: int = 1) -> None:
        """Adds to a counter."""
        self._counters[name].inc(amount)

    def observe(self, name: str, value: float) -> None:
        """Adds to a histogram."""
        self._histograms[name].observe(value)

    def completed(self, finish_reason: str) -> None:
        """A completion has ended."""
        self._success.labels(finish_reason).inc()

    def finished(self, output: RequestOutput, started_s: float, num_tokens: int) -> None:
        """A prompt is done, with so many tokens in all its completions."""
        num_prompt_tokens, times = len(output.prompt_token_ids), output.metrics
        self.count("prompt_tokens", num_prompt_tokens)
        self.count("generation_tokens", num_tokens)
        self.count("prefix_cache_queries", num_prompt_tokens)
        self.count("prefix_cache_hits", output.num_cached_tokens or 0)
        self.observe("request_prompt_tokens", num_prompt_tokens)
        self.observe("request_generation_tokens", num_tokens)
        if times is None or times.first_token_s is None:
            return
        self.observe("time_to_first_token_seconds", times.first_token_s - started_s)
        self.observe("e2e_request_latency_seconds", times.finished_s - started_s)
        if num_tokens > 1:
            mean_s = (times.finished_s - times.first_token_s) / (num_tokens - 1)
            self.observe("request_time_per_output_token_seconds", mean_s)


class _EngineCollector(Collector):
    """How the engine stands, as it said last."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        load, hello = self._engine.load, self._engine.hello
        yield GaugeMetricFamily(
            "tapeout:engine_ready", "1 if an engine is there.", float(hello is not None)
        )
        if hello is not None:
            startup = GaugeMetricFamily(
                "tapeout:startup_seconds", "Of the engine, by phase.", labels=["phase"]
            )
            for phase, seconds in hello.startup_s.items():
                startup.add_metric([phase], seconds)
            yield startup
        yield CounterMetricFamily(
            "tapeout:engine_restarts", "Engines after the first.", max(0, self._engine.num_restarts)
        )
        if load is None:
            return
        num_used = load.num_kv_pages - load.num_free_kv_pages
        gauges = {
            "num_requests_running": ("Sequences that run.", load.num_running),
            "num_requests_waiting": ("Sequences that wait.", load.num_waiting),
            "kv_cache_usage_perc": ("1 is full.", num_used / max(1, load.num_kv_pages)),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"tapeout:{name}", text, value)
        yield CounterMetricFamily(
            "tapeout:num_preemptions", "Sequences that gave way.", load.num_preemptions
        )
        yield CounterMetricFamily("tapeout:engine_steps", "Steps.", load.num_steps)
