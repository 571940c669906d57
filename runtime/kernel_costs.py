"""What the regions of a step move and compute, by their records in the manifest.

A record counts a region's parameters and results. It cannot say what depends on the sequences:
keys and values are counted here; of routed experts nobody knows before which of them a step reads.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..artifact import CacheBuffer, Expression, Launch, Target, evaluate
from .frame import Frame


class Cost(NamedTuple):
    """None where no record can say it."""

    bytes: int | None
    flops: int | None


class RegionCosts:
    """The costs of the regions that a step consists of."""

    def __init__(self, target: Target, frame: Frame) -> None:
        self._kernels = {kernel.name: kernel for kernel in target.kernels}
        self._groups = {group.name: group for group in target.cache_groups}
        self._frame = frame
        self._sizes = dict(zip("TSRP", frame.dims, strict=True))

    def region_of(self, launch: Launch) -> str:
        """The region that a launch is, or is a part of."""
        return self._kernels[launch.kernel].region

    def of(self, launches: Sequence[Launch]) -> Cost:
        """What all launches of a region cost together; a call of it has each of its kernels."""
        kernel = self._kernels[launches[0].kernel]
        num_calls = max(Counter(launch.kernel for launch in launches).values())
        num_bytes, flops = (self._value(record) for record in (kernel.bytes, kernel.flops))
        if num_bytes is not None:
            places = {b for launch in launches for b in launch.buffers}
            num_bytes = num_calls * num_bytes + sum(
                self._cache_bytes(place, kernel.anchor == "attention")
                for place in places
                if isinstance(place, CacheBuffer)
            )
        return Cost(
            None if kernel.anchor == "experts" else num_bytes,
            # The record of attention has those for a single key.
            None if flops is None or kernel.anchor == "attention" else num_calls * flops,
        )

    def _value(self, record: Expression | None) -> int | None:
        return None if record is None else evaluate(record, {**self._sizes, "": 1})

    def _cache_bytes(self, place: CacheBuffer, is_read: bool) -> int:
        """Attention reads all that a sequence sees of a layer, others write the step's own."""
        group = self._groups[place.group]
        num_tokens = self._num_seen(group.window) if is_read else self._sizes["T"]
        return num_tokens * group.page_bytes_per_layer // group.page_size_tokens

    def _num_seen(self, window: int | None) -> int:
        """Tokens that sequences look back on, each once however many of its tokens do."""
        lengths = self._frame.context_lengths
        if window is not None:
            lengths = np.minimum(lengths, np.diff(self._frame.query_start) + window - 1)
        return int(lengths.sum())
