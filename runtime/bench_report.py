"""What a benchmark found, for people and as a record."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from .outputs import RequestOutput
from .request import Times


class Run(NamedTuple):
    """One call of `LLM.generate`."""

    outputs: list[RequestOutput]
    elapsed_s: float
    player_s: float  # of it that kernels were running


class Spread(msgspec.Struct, frozen=True):
    """Of many times, in seconds."""

    mean: float
    median: float
    p99: float


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """Rates are over the whole time, waits and host work included."""

    num_requests: int
    num_prompt_tokens: int
    num_cached_tokens: int  # of the prompts: found in the cache, not computed
    num_output_tokens: int
    elapsed_s: float
    latency_s: Spread
    first_token_s: Spread  # from a request's arrival
    output_token_s: Spread | None  # a request's mean time of a token after its first
    requests_per_s: float
    total_tokens_per_s: float  # of prompts and outputs
    output_tokens_per_s: float
    player_share: float  # of the time in which kernels were running

    def text(self) -> str:
        """Some lines to read."""
        lines = [
            f"{self.num_requests} requests in {self.elapsed_s:.2f} s: "
            f"{self.requests_per_s:.2f} requests/s, {self.total_tokens_per_s:.1f} tokens/s, "
            f"{self.output_tokens_per_s:.1f} output tokens/s",
            f"{self.num_prompt_tokens} tokens of prompts, {self.num_cached_tokens} of them found "
            f"in the cache; {self.num_output_tokens} of output",
            f"{'ms':<24}{'mean':>10}{'median':>10}{'p99':>10}",
            _line("latency", self.latency_s),
            _line("time to first token", self.first_token_s),
        ]
        if self.output_token_s is not None:
            lines.append(_line("time per output token", self.output_token_s))
        lines.append(f"kernels ran for {self.player_share:.1%} of the time")
        return "\n".join(lines)


def report_of(runs: Sequence[Run], latencies_s: Iterable[float]) -> BenchReport:
    """Sums runs up; every output is finished."""
    outputs = [output for run in runs for output in run.outputs]
    counts = [len(output.outputs[0].token_ids) for output in outputs]
    prompts = sum(len(output.prompt_token_ids) for output in outputs)
    elapsed_s = sum(run.elapsed_s for run in runs)
    times = [output.metrics for output in outputs if output.metrics is not None]
    paces = [_pace(t, count) for t, count in zip(times, counts, strict=True) if count > 1]
    return BenchReport(
        num_requests=len(outputs),
        num_prompt_tokens=prompts,
        num_cached_tokens=sum(output.num_cached_tokens or 0 for output in outputs),
        num_output_tokens=sum(counts),
        elapsed_s=elapsed_s,
        latency_s=_spread(latencies_s),
        first_token_s=_spread((t.first_token_s or t.finished_s) - t.arrived_s for t in times),
        output_token_s=_spread(paces) if paces else None,
        requests_per_s=len(outputs) / elapsed_s,
        total_tokens_per_s=(prompts + sum(counts)) / elapsed_s,
        output_tokens_per_s=sum(counts) / elapsed_s,
        player_share=sum(run.player_s for run in runs) / elapsed_s,
    )


def _pace(times: Times, count: int) -> float:
    return (times.finished_s - (times.first_token_s or times.arrived_s)) / (count - 1)


def _spread(seconds: Iterable[float]) -> Spread:
    values = np.fromiter(seconds, np.float64)
    return Spread(*map(float, (values.mean(), np.median(values), np.percentile(values, 99))))


def _line(name: str, spread: Spread) -> str:
    columns = "".join(f"{value * 1e3:>10.2f}" for value in (spread.mean, spread.median, spread.p99))
    return f"{name:<24}{columns}"
