"""What a measurement of a server found, for people and as a record."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from .client import Sample
from .options import Bounds, LoadOptions

_MS = 1e3


class Percentiles(msgspec.Struct, frozen=True):
    """Of many times, in seconds."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Times are of the requests that were answered whole; None where there is none."""

    options: LoadOptions
    model: str
    num_requests: int
    num_failed: int
    errors: dict[str, int]  # by kind
    num_prompt_tokens: int
    num_output_tokens: int
    elapsed_s: float
    requests_per_s: float  # answered whole
    output_tokens_per_s: float
    good_requests_per_s: float  # within all bounds
    good_share: float  # of all requests, those that failed among them
    ttft_s: Percentiles | None  # time to the first token
    itl_s: Percentiles | None  # between two pieces of one output
    tpot_s: Percentiles | None  # of a token after the first, mean of a request
    e2e_s: Percentiles | None  # time to the last token
    max_late_s: float  # by which this client was late; if it is long, the times are the client's

    def text(self) -> str:
        """Some lines to read."""
        lines = [
            f"{self.num_requests} requests to {self.model} in {self.elapsed_s:.2f} s: "
            f"{self.requests_per_s:.2f} requests/s, {self.output_tokens_per_s:.1f} output "
            "tokens/s",
            f"{self.num_prompt_tokens} tokens of prompts, {self.num_output_tokens} of output; "
            f"sent at most {self.max_late_s * _MS:.1f} ms late",
            f"goodput {self.good_requests_per_s:.2f} requests/s: {self.good_share:.1%} answered"
            + _bounds_text(self.options.bounds),
        ]
        lines += [f"failed, {kind}: {count}" for kind, count in self.errors.items()]
        lines.append(f"{'ms':<24}" + "".join(f"{n:>10}" for n in Percentiles.__struct_fields__))
        for name, times in self.times().items():
            values = msgspec.structs.astuple(times)
            lines.append(f"{name:<24}" + "".join(f"{value * _MS:>10.2f}" for value in values))
        return "\n".join(lines)

    def times(self) -> dict[str, Percentiles]:
        """Those that there are, by their names in full."""
        named = {
            "time to first token": self.ttft_s,
            "inter-token latency": self.itl_s,
            "time per output token": self.tpot_s,
            "end-to-end latency": self.e2e_s,
        }
        return {name: times for name, times in named.items() if times is not None}


def report_of(samples: Sequence[Sample], options: LoadOptions, model: str) -> LoadReport:
    """Sums up what clients saw."""
    whole = [sample for sample in samples if sample.error is None]
    errors = Counter(sample.error for sample in samples if sample.error is not None)
    num_good = sum(is_good(sample, options.bounds) for sample in whole)
    num_output_tokens = sum(sample.num_output_tokens for sample in whole)
    elapsed_s = max((sample.ended_s for sample in samples), default=0.0)
    return LoadReport(
        options=options,
        model=model,
        num_requests=len(samples),
        num_failed=len(samples) - len(whole),
        errors=dict(errors.most_common()),
        num_prompt_tokens=sum(sample.num_prompt_tokens for sample in whole),
        num_output_tokens=num_output_tokens,
        elapsed_s=elapsed_s,
        requests_per_s=len(whole) / elapsed_s,
        output_tokens_per_s=num_output_tokens / elapsed_s,
        good_requests_per_s=num_good / elapsed_s,
        good_share=num_good / len(samples),
        ttft_s=_percentiles(sample.ttft_s for sample in whole),
        itl_s=_percentiles(inter_token_s(whole)),
        tpot_s=_percentiles(sample.tpot_s for sample in whole if sample.tpot_s is not None),
        e2e_s=_percentiles(sample.e2e_s for sample in whole),
        max_late_s=max(sample.late_s for sample in samples),
    )


def is_good(sample: Sample, bounds: Bounds) -> bool:
    """Whether a whole answer kept to all bounds."""
    times_s = {"ttft": sample.ttft_s, "tpot": sample.tpot_s or 0.0, "e2e": sample.e2e_s}
    most_ms = msgspec.structs.asdict(bounds)
    return all(m is None or times_s[name] * _MS <= m for name, m in most_ms.items())


def inter_token_s(samples: Iterable[Sample]) -> Iterable[float]:
    """The times between the pieces of each output."""
    return (gap for sample in samples for gap in np.diff(sample.pieces_s).tolist())


def _percentiles(seconds: Iterable[float]) -> Percentiles | None:
    values = np.fromiter(seconds, np.float64)
    if not values.size:
        return None
    middle = np.percentile(values, (50, 90, 95, 99))
    return Percentiles(*map(float, (values.mean(), *middle, values.max())))


def _bounds_text(bounds: Bounds) -> str:
    given = {n: v for n, v in msgspec.structs.asdict(bounds).items() if v is not None}
    return "".join(f", {name} within {value:g} ms" for name, value in given.items())
