"""How much memory a load takes: `tapeout plan` prints this, and the executor allocates this.

Sizes follow from the target's description, the limits asked for and the machine's total memory,
never from what is free at the moment: two plans on one machine are equal to the byte.
"""

import math
from typing import Any

import msgspec

from ..artifact import CacheGroup, Target
from ..errors import CapacityError, InputError, shown
from ..kvcache.budget import (
    Demand,
    cache_bytes,
    num_pages_for_tokens,
    num_tokens_in_budget,
    num_useful_tokens,
)
from .layout import Sizes, inputs_bytes, lay_out_arena
from .machine import memory_bytes
from .player import Dims
from .weights import weights_bytes

DEFAULT_MAX_NUM_SEQS = 64
DEFAULT_MAX_NUM_BATCHED_TOKENS = 1024
DEFAULT_LOGIT_ROWS = 64
DEFAULT_MEMORY_UTILIZATION = 0.9
DEFAULT_KV_CACHE_BYTES = 4 << 30
MAX_STEPS_IN_FLIGHT = 2  # one that runs, one that waits for it
_MAX_COUNT = 1 << 24
_MAX_TOKENS_IN_SLOTS = (1 << 31) - 1  # kernels find tokens by indices of 32 bits


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks for; None leaves the choice to the plan.

    Raises InputError, naming the limit, for a value that cannot be used.
    """

    max_model_len: int | None = None  # None: the model's own, or what the cache holds if less
    max_num_seqs: int = DEFAULT_MAX_NUM_SEQS
    max_num_batched_tokens: int | None = None  # None: the default, or max_num_seqs if more
    max_logit_rows: int | None = None  # None: what generation needs, and some for prompts' logprobs
    kv_cache_bytes: int | None = None  # None: what the sequences can use; on a CPU at most 4 GiB
    memory_utilization: float = DEFAULT_MEMORY_UTILIZATION  # of the machine, all in all

    def __post_init__(self) -> None:
        for name in ("max_model_len", "max_num_batched_tokens", "max_logit_rows"):
            _check_count(name, getattr(self, name), _MAX_COUNT, may_be_none=True)
        _check_count("max_num_seqs", self.max_num_seqs, _MAX_COUNT)
        _check_count("kv_cache_bytes", self.kv_cache_bytes, 1 << 50, may_be_none=True)
        share = self.memory_utilization
        if not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise InputError(
                f"gpu_memory_utilization={shown(share)} is not allowed; give a share above 0 and "
                "up to 1"
            )
        if self.num_batched_tokens < self.max_num_seqs:
            raise InputError(
                f"max_num_batched_tokens={self.num_batched_tokens} is below "
                f"max_num_seqs={self.max_num_seqs}; each sequence needs a token in a step"
            )

        if self.num_logit_rows < self.max_num_seqs:
            raise InputError(
                f"max_logit_rows={self.max_logit_rows} is below max_num_seqs={self.max_num_seqs}; "
                "each sequence needs a row in a step"
            )

    @property
    def num_batched_tokens(self) -> int:
        """`max_num_batched_tokens`, or its default."""
        if self.max_num_batched_tokens is not None:
            return self.max_num_batched_tokens
        return max(DEFAULT_MAX_NUM_BATCHED_TOKENS, self.max_num_seqs)

    @property
    def num_logit_rows(self) -> int:
        """`max_logit_rows`, or its default; a step never has more rows than tokens."""
        if self.max_logit_rows is not None:
            return self.max_logit_rows
        return min(max(DEFAULT_LOGIT_ROWS, self.max_num_seqs), self.num_batched_tokens)


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and bytes of one load."""

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_logit_rows: int
    block_table_width: int  # entries of a sequence's row
    weights_bytes: int
    arena_bytes: int
    inputs_bytes: int
    kv_cache_bytes: int
    num_pages: list[int]  # of each cache group, the null page included
    num_kv_tokens: int  # of all sequences, those that a window has left behind included

    @property
    def bounds(self) -> Dims:
        """The largest T, S, R and P of a step."""
        rows = (self.max_num_seqs, self.max_logit_rows)
        return self.max_num_batched_tokens, *rows, self.block_table_width

    @property
    def sizes(self) -> Sizes:
        """The largest value of every symbol of a size."""
        return _sizes(self.bounds, self.max_model_len)

    @property
    def max_tokens_in_flight(self) -> int:
        """Tokens of all steps that are planned and not reported."""
        return MAX_STEPS_IN_FLIGHT * self.max_num_batched_tokens

    @property
    def total_bytes(self) -> int:
        """Everything that is allocated."""
        return self.weights_bytes + self.arena_bytes + self.inputs_bytes + self.kv_cache_bytes


def plan_memory(
    target: Target, max_position_embeddings: int, limits: Limits, device_bytes: int | None = None
) -> MemoryPlan:
    """The plan for a device with memory of its own, or for this machine's.

    Raises InputError or CapacityError, with the numbers, for limits that cannot be met.
    """
    longest = limits.max_model_len or max_position_embeddings
    if longest > max_position_embeddings:
        raise InputError(
            f"max_model_len={longest} is more than the model's {max_position_embeddings} "
            "positions; lower it"
        )
    _check_slots(limits.max_num_seqs, longest)
    budget_bytes = _kv_budget(target, limits, longest, device_bytes)
    demand = _demand(limits, longest)
    num_tokens = num_tokens_in_budget(target.cache_groups, budget_bytes, demand)
    if limits.max_model_len is None:
        longest = min(longest, num_tokens)
    least = max(longest, 2)  # a token of prompt and one of output
    if num_tokens < least:
        raise CapacityError(
            f"a key-value cache of {budget_bytes} bytes holds {max(num_tokens, 0)} tokens, fewer "
            f"than one sequence of max_model_len={least}; raise kv_cache_bytes or "
            "gpu_memory_utilization, or lower max_model_len"
        )
    return _plan(target, limits, longest, num_tokens, device_bytes is not None)


def _plan(
    target: Target, limits: Limits, max_model_len: int, num_tokens: int, on_device: bool
) -> MemoryPlan:
    bounds = _bounds(target.cache_groups, limits, max_model_len)
    sizes = _sizes(bounds, max_model_len)
    demand = _demand(limits, max_model_len)
    num_pages = num_pages_for_tokens(target.cache_groups, num_tokens, demand)
    return MemoryPlan(
        max_model_len=max_model_len,
        max_num_seqs=limits.max_num_seqs,
        max_num_batched_tokens=bounds[0],
        max_logit_rows=bounds[2],
        block_table_width=bounds[3],
        weights_bytes=weights_bytes(target),
        arena_bytes=lay_out_arena(target.slots, sizes).num_bytes,
        inputs_bytes=inputs_bytes(target.inputs, sizes, on_device),
        kv_cache_bytes=cache_bytes(target.cache_groups, num_pages),
        num_pages=num_pages,
        num_kv_tokens=num_tokens,
    )


def _kv_budget(target: Target, limits: Limits, max_model_len: int, device_bytes: int | None) -> int:
    """What the caller says, else what can be used, in any case within the share of the memory.

    On a device of its own nobody else wants the memory, so there the share is the only bound.
    """
    sizes = _sizes(_bounds(target.cache_groups, limits, max_model_len), max_model_len)
    others = weights_bytes(target) + inputs_bytes(target.inputs, sizes, device_bytes is not None)
    others += lay_out_arena(target.slots, sizes).num_bytes
    share = int(limits.memory_utilization * (device_bytes or memory_bytes()))
    wanted = limits.kv_cache_bytes
    if wanted is None:
        demand = _demand(limits, max_model_len)
        num_tokens = num_useful_tokens(target.cache_groups, demand)
        useful = num_pages_for_tokens(target.cache_groups, num_tokens, demand)
        most = share - others if device_bytes else min(DEFAULT_KV_CACHE_BYTES, share - others)
        wanted = min(most, cache_bytes(target.cache_groups, useful))
    if others + wanted > share or wanted <= 0:
        there = (
            f"the {share} bytes that are gpu_memory_utilization={limits.memory_utilization:g} of "
            f"this {'GPU' if device_bytes else 'machine'}"
        )
        raise _shortage(weights_bytes(target), others, max(wanted, 0), share, there)
    return wanted


def _shortage(weights: int, others: int, cache: int, share: int, there: str) -> CapacityError:
    """What is too large for a share of the memory, and what helps; all in bytes."""
    if weights >= share:
        return CapacityError(
            f"weights take {weights} bytes, more than {there}; take one with more memory, or raise "
            "gpu_memory_utilization"
        )
    return CapacityError(
        f"weights, arena and inputs take {others} bytes and the key-value cache {cache}, more than "
        f"{there}; lower max_num_seqs, max_num_batched_tokens, max_model_len or kv_cache_bytes"
    )


def _demand(limits: Limits, max_model_len: int) -> Demand:
    in_flight = MAX_STEPS_IN_FLIGHT * limits.num_batched_tokens
    return Demand(limits.max_num_seqs, max_model_len, in_flight)


def _bounds(groups: list[CacheGroup], limits: Limits, max_model_len: int) -> Dims:
    width = max((math.ceil(max_model_len / g.page_size_tokens) for g in groups), default=1)
    return limits.num_batched_tokens, limits.max_num_seqs, limits.num_logit_rows, width


def _sizes(bounds: Dims, max_model_len: int) -> Sizes:
    """A load has a slot for each sequence that a step may have."""
    num_slots = bounds[1]
    return dict(zip("TSRP", bounds, strict=True), N=num_slots, L=num_slots * max_model_len)


def _check_slots(max_num_seqs: int, max_model_len: int) -> None:
    if max_num_seqs * max_model_len > _MAX_TOKENS_IN_SLOTS:
        raise InputError(
            f"max_num_seqs={max_num_seqs} sequences of max_model_len={max_model_len} are more than "
            f"{_MAX_TOKENS_IN_SLOTS} tokens; lower one of the two"
        )


def _check_count(name: str, value: Any, most: int, may_be_none: bool = False) -> None:
    if value is None and may_be_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(
            f"{name}={shown(value)} is not allowed; give a whole number from 1 to {most}"
        )
