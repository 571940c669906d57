"""Predicts how long the launches of a step take, from costs, grids and the limits of a device.

A launch takes a moment to begin, and then as long as what binds it most: bytes of memory, bytes
that its blocks read from the cache, each for itself, or operations. For operations multiprocessors
must have blocks: a grid that does not fill them, or leaves a last wave half empty, takes longer by
so much. Nothing here knows a model, a card or a kernel by its name. `bench/calibrate.py` fits the
constants.
"""

from collections.abc import Mapping, Sequence
from math import inf, prod
from typing import NamedTuple

import numpy as np

from ..artifact import GridTerm, Kernel, Launch, Target, evaluate
from .device_limits import DeviceLimits
from .kernel_costs import LaunchCosts, StepSizes


class Constants(NamedTuple):
    """What neither records nor data sheets say; a share is of what a data sheet says."""

    launch_s: float  # from the end of a launch to when the next is under way
    product_s: float  # more for a product of several rows, all of which it waits for
    attention_s: float  # more for attention, whose reads wait for one another
    memory_share: float
    cache_bytes_per_s: float  # of a multiprocessor, from the cache that all share
    product_share: float  # of operations
    attention_share: float
    tape_launch_s: float  # that the host takes for a launch of a tape, which no graph replays
    prompt_s: float  # from a prompt to its first launch, and from the last one's end to its token


CONSTANTS = Constants(
    launch_s=1.9e-6,
    product_s=1.4e-6,
    attention_s=2.1e-6,
    memory_share=0.89,
    cache_bytes_per_s=77e9,
    product_share=0.72,
    attention_share=0.51,
    tape_launch_s=5e-6,
    prompt_s=0.67e-3,
)
_CPU = Constants(  # its limits are what it reached, and its launches all in line
    launch_s=4e-6,
    product_s=0.0,
    attention_s=0.0,
    memory_share=1.0,
    cache_bytes_per_s=inf,
    product_share=1.0,
    attention_share=1.0,
    tape_launch_s=0.0,
    prompt_s=0.0,
)
_SHARPNESS = 4  # of the corner where one bound takes over from another


class Bounds(NamedTuple):
    """What binds a launch, and what tells how it begins."""

    anchor: str
    has_rows: bool  # a product of several rows
    memory_s: float  # this and the next at the most that a data sheet says
    flops_s: float
    cache_bytes: float  # for each multiprocessor


def predict_launches(
    launches: Sequence[Launch],
    target: Target,
    step: StepSizes,
    limits: DeviceLimits,
    dtype: str,
) -> list[float]:
    """Seconds of each launch of a step, in order; `dtype` is that of the model's products."""
    found = bounds_of(launches, target, step, limits, dtype)
    return [seconds_of(bounds, _constants_of(limits)) for bounds in found]


def predict_step(times_s: Sequence[float], is_decode: bool, limits: DeviceLimits) -> float:
    """Seconds of a step by those of its launches; a prompt's step begins and ends with the host."""
    return step_s(sum(times_s), len(times_s), is_decode, _constants_of(limits))


def step_s(device_s: float, num_launches: int, is_decode: bool, constants: Constants) -> float:
    """The time of a step whose launches take a device so long.

    Decode steps are queued one behind the other, as graphs. The launches of others wait for the
    host where that is slower, and their result is waited for.
    """
    if is_decode:
        return device_s
    return max(device_s, num_launches * constants.tape_launch_s) + constants.prompt_s


def seconds_of(bounds: Bounds, constants: Constants) -> float:
    """The time of a launch."""
    attends = bounds.anchor == "attention"
    begin_s = constants.launch_s + constants.attention_s * attends
    begin_s += constants.product_s * bounds.has_rows
    share = constants.attention_share if attends else constants.product_share
    parts = np.array(
        [
            bounds.memory_s / constants.memory_share,
            bounds.flops_s / share,
            bounds.cache_bytes / constants.cache_bytes_per_s,
        ]
    )
    return begin_s + float((parts**_SHARPNESS).sum() ** (1 / _SHARPNESS))


def _constants_of(limits: DeviceLimits) -> Constants:
    return CONSTANTS if limits.num_multiprocessors else _CPU


def bounds_of(
    launches: Sequence[Launch],
    target: Target,
    step: StepSizes,
    limits: DeviceLimits,
    dtype: str,
) -> list[Bounds]:
    """What binds each launch of a step."""
    kernels = {kernel.name: kernel for kernel in target.kernels}
    costs = LaunchCosts(target, step)
    step_sizes = dict(zip("TSRP", step.dims, strict=True))
    flops_per_s, places = limits.flops_per_s[dtype], limits.num_multiprocessors or 1
    found = []
    for launch in launches:
        kernel, cost = kernels[launch.kernel], costs.of(launch)
        sizes = step_sizes | {"T": step_sizes[launch.rows]}
        grid = _Grid(kernel.tiles or launch.grid, sizes)
        found.append(
            Bounds(
                anchor=kernel.anchor,
                has_rows=any(sizes[symbol] > 1 for symbol in kernel.multiplied or {} if symbol),
                memory_s=(cost.bytes or 0) / limits.bytes_per_s,
                flops_s=(cost.flops or 0) / flops_per_s / grid.share_of(places),
                cache_bytes=_cache_bytes(kernel, grid, sizes) / places,
            )
        )
    return found


class _Grid:
    """The blocks of a launch, or the tiles that its blocks take in turn: of rows, by of columns, by
    of parts of a sum. One on a CPU."""

    def __init__(self, grid: Sequence[GridTerm], sizes: Mapping[str, int]) -> None:
        terms = [_blocks(term, sizes) for term in grid] or [(1, 1)] * 3
        (self.rows, columns), *others = terms
        self.columns = columns * prod(others[0])
        self.parts = prod(others[1])

    def share_of(self, places: int) -> float:
        """Of multiprocessors that have a block, over all waves of them."""
        count = self.rows * self.columns * self.parts
        return count / (-(-count // places) * places)


def _blocks(term: GridTerm, sizes: Mapping[str, int]) -> tuple[int, int]:
    return max(1, -(-evaluate(term.extent, sizes) // term.divisor)), term.factor


def _cache_bytes(kernel: Kernel, grid: _Grid, sizes: Mapping[str, int]) -> int:
    """A product's blocks of rows read all weights each, those of columns all rows."""
    multiplied = evaluate(kernel.multiplied or {}, sizes)
    weights = (kernel.bytes or {}).get("", 0)
    return weights * grid.rows + multiplied * grid.columns if multiplied else 0
