"""What the launches of a step move and compute, by their kernels' records in the manifest.

A record counts parameters and results. What depends on the sequences is added here: keys and
values, and of routed experts as many as are expected to be chosen when all choices are as likely.
"""

from typing import NamedTuple, Protocol

import numpy as np

from ..artifact import CacheBuffer, Expression, Kernel, Launch, Target, evaluate
from .frame import I32
from .player import Dims


class StepSizes(Protocol):
    """What costs depend on of a step; a frame has it."""

    @property
    def dims(self) -> Dims:
        """Its T, S, R and P."""

    @property
    def query_start(self) -> I32:
        """Where each sequence's tokens begin, and their end: [S + 1]."""

    @property
    def context_lengths(self) -> I32:
        """Tokens of each sequence once the step is done: [S]."""


class Cost(NamedTuple):
    """None where there is no record."""

    bytes: int | None
    flops: int | None


class LaunchCosts:
    """The costs of the launches that a step consists of."""

    def __init__(self, target: Target, step: StepSizes) -> None:
        self._kernels = {kernel.name: kernel for kernel in target.kernels}
        self._groups = {group.name: group for group in target.cache_groups}
        self._step = step
        self._sizes = dict(zip("TSRP", step.dims, strict=True))

    def of(self, launch: Launch) -> Cost:
        """What one launch costs."""
        kernel = self._kernels[launch.kernel]
        groups = {b.group for b in launch.buffers if isinstance(b, CacheBuffer)}
        num_rows = self._sizes[launch.rows]
        sizes = {**self._sizes, "T": num_rows, "K": sum(map(self._num_pairs, groups))}
        sizes["E"] = _experts(kernel, num_rows)
        num_bytes, flops = (_value(record, sizes) for record in (kernel.bytes, kernel.flops))
        if num_bytes is not None:
            is_read = "K" in (kernel.flops or {})
            num_bytes += sum(self._cache_bytes(group, is_read) for group in groups)
        return Cost(num_bytes, flops)

    def _cache_bytes(self, name: str, is_read: bool) -> int:
        """Attention reads all that a sequence sees of a layer, others write the step's own."""
        group = self._groups[name]
        num_tokens = self._num_seen(group.window) if is_read else self._sizes["T"]
        return num_tokens * group.page_bytes_per_layer // group.page_size_tokens

    def _num_seen(self, window: int | None) -> int:
        """Tokens that sequences look back on, each once however many of its tokens do."""
        lengths = self._step.context_lengths
        if window is not None:
            lengths = np.minimum(lengths, np.diff(self._step.query_start) + window - 1)
        return int(lengths.sum(dtype=np.int64))

    def _num_pairs(self, name: str) -> int:
        """Pairs of a token and a key that it sees, itself among them."""
        lengths = self._step.context_lengths.astype(np.int64)
        num_tokens = np.diff(self._step.query_start)
        window = self._groups[name].window or int(lengths.max(initial=0))
        first = lengths - num_tokens + 1  # that a sequence's first token sees
        num_growing = np.clip(window - first, 0, num_tokens)
        growing = num_growing * first + num_growing * (num_growing - 1) // 2
        return int((growing + (num_tokens - num_growing) * window).sum())


def _experts(kernel: Kernel, num_tokens: int) -> int:
    """Distinct experts that uniform choices are expected to hit."""
    if kernel.routing is None:
        return 0
    num_experts, num_chosen = kernel.routing.num_experts, kernel.routing.num_chosen
    return round(num_experts * (1 - (1 - num_chosen / num_experts) ** num_tokens))


def _value(record: Expression | None, sizes: dict[str, int]) -> int | None:
    return None if record is None else evaluate(record, sizes)
