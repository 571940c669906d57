"""Checks and times variants of kernels, in the place of an artifact's own, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact, CacheBuffer, Launch, Operand
from ..codegen.tape import written_states
from ..ir.graph import Value
from ..ir.types import DType
from ..runtime.cuda.executor import CudaExecutor
from ..runtime.frame import I32, Frame
from .gpu_bench import GpuBench
from .gpu_calls import Call
from .gpu_outputs import difference, is_finite
from .gpu_steps import StepFrames
from .gpu_variants import GpuVariant
from .gpu_works import GpuWork, GpuWorks
from .space import Times

_LEAST_S, _MOST_S = 1e-3, 5e-3  # that what is timed at once is expected to take
_MAX_LAUNCHES = 256  # of it
_MAX_NUMBERS = 1 << 20  # of a result, that are looked at: rows far from each other

Bytes = NDArray[np.uint8]


class GpuMeasures:
    """Plays steps on an executor. Frames stay sent until others are."""

    def __init__(
        self, artifact: Artifact, works: GpuWorks, executor: CudaExecutor, frames: StepFrames
    ) -> None:
        self._artifact, self._works = artifact, works
        self._executor, self._frames = executor, frames
        self._sent: Frame | None = None

    def wrong(self, work: GpuWork, variant: GpuVariant) -> str | None:
        """How a variant's results differ from the artifact's own, in its largest step and less.

        Steps share pages, and each writes its tokens: what is wanted is computed anew for each, or
        a later step would have changed what the variant reads.
        """
        for frame in self._frames.checked(work.steps):
            wanted = self._wanted(work, frame)
            found = self._results(work, frame, variant)
            for (value, _), one, other in zip(_results_of(work), found, wanted, strict=True):
                said = difference(one, other, value.dtype, work.steps.batch_invariant)
                if said is not None:
                    return f"in a step of {frame.dims[0]} tokens {said}"
        return None

    def _wanted(self, work: GpuWork, frame: Frame) -> list[Bytes]:
        """The artifact's own results.

        What was timed had no launches before it, and may have written keys and values that are no
        numbers into pages that this step reads: they are then filled anew.
        """
        wanted = self._results(work, frame, None)
        values = [value for value, _ in _results_of(work)]
        if not all(
            is_finite(*pair) for pair in zip(wanted, [v.dtype for v in values], strict=True)
        ):
            self._frames.fill(self._executor)
            self._sent = None
            wanted = self._results(work, frame, None)
        return wanted

    def times(
        self,
        work: GpuWork,
        first: GpuVariant,
        second: GpuVariant,
        num_pairs: int,
        expected_s: float,
    ) -> Times:
        """Seconds of a call, in steps of a size: of those of all layers, or of some long ones."""
        calls = work.calls[: max(1, round(_MOST_S / expected_s))]
        wanted = min(_LEAST_S / expected_s, _MAX_LAUNCHES / len(work.names))
        repeats = max(1, round(wanted / len(calls)))
        tapes = [(one.name, self._launches(work, one, calls) * repeats) for one in (first, second)]
        times = self._times(first.round.bench, tapes, work, num_pairs)
        return Times(*(times / (len(calls) * repeats)).tolist())

    def step_times(self, variants: Sequence[tuple[GpuWork, GpuVariant]], num_pairs: int) -> Times:
        """Seconds of steps as they are, and of steps with variants; all are of one round."""
        work, bench = variants[0][0], variants[0][1].round.bench
        own = self._works.tapes[work.tape]
        for launch in own:
            if not bench.has(launch.kernel):
                cubin = self._works.kernels[launch.kernel].cubin
                assert cubin is not None, f"{launch.kernel} has no cubin"
                bench.load(launch.kernel, self._artifact.read(cubin.file), cubin)
        tapes = [("as it is", own), ("changed", self._changed(own, variants))]
        return Times(*self._times(bench, tapes, work, num_pairs).tolist())

    def _times(
        self,
        bench: GpuBench,
        tapes: Sequence[tuple[str, Sequence[Launch]]],
        work: GpuWork,
        num_pairs: int,
    ) -> NDArray[np.float64]:
        """Seconds of two tapes, on average over the steps of a size: [2, pairs]."""
        first, second = (bench.add_once(*tape) for tape in tapes)
        frames, total = self._frames.of(work.steps), np.zeros((2, num_pairs))
        for frame in frames:
            self._send(frame)
            total += bench.times(first, second, self._executor.dims_of(frame), num_pairs)
        return total / len(frames)

    def _changed(
        self, own: Sequence[Launch], variants: Sequence[tuple[GpuWork, GpuVariant]]
    ) -> list[Launch]:
        """The launches of a tape, with those of variants in the places of theirs."""
        replaced: dict[int, list[Launch]] = {}
        for work, variant in variants:
            for call in work.calls:
                replaced |= {place: [] for place in range(call.begin, call.end)}
                replaced[call.begin] = self._launches(work, variant, [call])
        return [new for place, old in enumerate(own) for new in replaced.get(place, [old])]

    def _results(self, work: GpuWork, frame: Frame, variant: GpuVariant | None) -> list[Bytes]:
        """What the first call leaves after the launches before it: by a variant, or as it is.

        An array [rows, bytes] of each result.
        """
        call, device = work.calls[0], self._executor.device
        self._send(frame)
        self._executor.play_part(work.tape, frame, 0, call.begin)
        dims = self._executor.dims_of(frame)
        sizes = dict(zip("TSRP", dims, strict=True))
        places = []
        for value, operand in _results_of(work):
            num_bytes = value.type.num_bytes().evaluate(sizes)
            address = self._executor.place(call.buffers[operand]).address
            device.call("zero", address, num_bytes)
            places.append((address, num_bytes, value.shape[0].evaluate(sizes)))
        self._forget(call, frame)
        device.synchronize()
        if variant is None:
            self._executor.play_part(work.tape, frame, call.begin, call.end)
        else:
            bench = variant.round.bench
            launches = self._launches(work, variant, [call])
            bench.play(bench.add_once(f"{variant.name}, once", launches), dims)
        return [self._rows(*place) for place in places]

    def _forget(self, call: Call, frame: Frame) -> None:
        """Clears the pages of the step's tokens: a call that does not write them is to be seen."""
        groups = self._works.target.cache_groups
        for group, table in zip(groups, frame.block_tables, strict=True):
            pages = table[frame.sequence_ids, frame.positions // group.page_size_tokens]
            for buffer in {*call.buffers.values()}:
                if isinstance(buffer, CacheBuffer) and buffer.group == group.name:
                    self._zero(buffer, np.unique(pages), group.page_bytes_per_layer)

    def _zero(self, cache: CacheBuffer, pages: I32, page_bytes: int) -> None:
        start = self._executor.place(cache).address
        for page in pages.tolist():
            self._executor.device.call("zero", start + page * page_bytes, page_bytes)

    def _rows(self, address: int, num_bytes: int, num_rows: int) -> Bytes:
        """Rows of a result: all, or as many as are soon compared."""
        device, row_bytes = self._executor.device, num_bytes // num_rows
        stride = -(-num_bytes // (2 * _MAX_NUMBERS))
        rows = sorted({*range(0, num_rows, stride), num_rows - 1})
        found = np.empty((len(rows), row_bytes), np.uint8)
        if stride == 1:
            device.copy_out(found, address)
        else:
            for place, row in enumerate(rows):
                device.copy_out(found[place], address + row * row_bytes)
        device.synchronize()
        return found

    def _launches(self, work: GpuWork, variant: GpuVariant, calls: Sequence[Call]) -> list[Launch]:
        first_slot = len(self._works.target.slots)
        return variant.launches(work, calls, self._executor.plan.sizes, first_slot)

    def _send(self, frame: Frame) -> None:
        if self._sent is not frame:
            self._executor.send(frame)
            self._sent = frame


def _results_of(work: GpuWork) -> list[tuple[Value, Operand]]:
    """The results that its kernels make and that are no caches, which keep their places."""
    written = written_states(work.function)
    return [
        (value, operand)
        for place, value in enumerate(work.function.results)
        if value not in written
        and value.dtype is not DType.STATE
        and (operand := Operand("result", place)) in work.calls[0].buffers
    ]
