"""How much memory a load takes: `tapeout plan` prints this, and the executor allocates this.

Sizes follow from the target's description, the limits asked for and the machine's total memory,
never from what is free at the moment: two plans on one machine are equal to the byte.
"""

import math

import msgspec

from ..artifact import CacheGroup, Target
from ..errors import CapacityError, InputError
from ..kvcache.budget import (
    Demand,
    cache_bytes,
    num_pages_for_tokens,
    num_tokens_in_budget,
    num_useful_tokens,
)
from .layout import Sizes, inputs_bytes, lay_out_arena, slot_bytes
from .limits import MIN_MODEL_LEN, MORE_CACHE, Limits, StepSize
from .machine import memory_bytes
from .player import Dims
from .weights import weights_bytes

DEFAULT_KV_CACHE_BYTES = 4 << 30
MAX_STEPS_IN_FLIGHT = 2  # one that runs, one that waits for it
_STEP_SHARE = 0.125  # of what weights leave: by default arena and inputs take no more
_MAX_TOKENS_IN_SLOTS = (1 << 31) - 1  # kernels find tokens by indices of 32 bits
_MAX_SLOT_BYTES = 1 << 32  # of a GPU's arena: its kernels find two bytes by such an index


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
    cut: str | None = None  # why max_model_len is below the model's, where nobody has asked for it

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
    step = _choose_step(target, limits, longest, device_bytes)
    if not _has_slots(step, longest):
        raise InputError(
            f"max_num_seqs={step.num_seqs} sequences of max_model_len={longest} are more than "
            f"{_MAX_TOKENS_IN_SLOTS} tokens; lower one of the two"
        )
    if device_bytes is not None:
        _check_slots(target, step, longest)
    budget_bytes = _kv_budget(target, limits, step, longest, device_bytes)
    demand = _demand(step, longest)
    num_tokens = num_tokens_in_budget(target.cache_groups, budget_bytes, demand)
    least = limits.max_model_len or min(longest, MIN_MODEL_LEN)
    holds = f"a key-value cache of {budget_bytes} bytes holds {max(num_tokens, 0)} tokens; one "
    if num_tokens < least:
        lower = ", or lower max_model_len" if least > MIN_MODEL_LEN else ""
        raise CapacityError(f"{holds}{_taken(target, step, least)}{lower}")
    plan = _plan(target, step, min(longest, num_tokens), num_tokens, device_bytes is not None)
    if plan.max_model_len == longest:
        return plan
    cut = f"max_model_len is {num_tokens}, for {holds}{_taken(target, step, longest)}"
    return msgspec.structs.replace(plan, cut=cut)


def _check_slots(target: Target, step: StepSize, max_model_len: int) -> None:
    sizes = _sizes(_bounds(target.cache_groups, step, max_model_len), max_model_len)
    most = max((slot_bytes(slot, sizes) for slot in target.slots), default=0)
    if most > _MAX_SLOT_BYTES:
        raise InputError(
            f"a step of max_num_batched_tokens={step.num_tokens} and max_num_seqs={step.num_seqs} "
            f"needs {most} bytes in one piece, more than the {_MAX_SLOT_BYTES} that kernels of a "
            "GPU find their way in; lower one of the two"
        )


def _taken(target: Target, step: StepSize, num_tokens: int) -> str:
    pages = num_pages_for_tokens(target.cache_groups, num_tokens, _demand(step, num_tokens))
    needed = cache_bytes(target.cache_groups, pages)
    return f"sequence of {num_tokens} takes {needed}: {MORE_CACHE}"


def _plan(
    target: Target, step: StepSize, max_model_len: int, num_tokens: int, on_device: bool
) -> MemoryPlan:
    bounds = _bounds(target.cache_groups, step, max_model_len)
    sizes = _sizes(bounds, max_model_len)
    demand = _demand(step, max_model_len)
    num_pages = num_pages_for_tokens(target.cache_groups, num_tokens, demand)
    return MemoryPlan(
        max_model_len=max_model_len,
        max_num_seqs=step.num_seqs,
        max_num_batched_tokens=step.num_tokens,
        max_logit_rows=step.num_rows,
        block_table_width=bounds[3],
        weights_bytes=weights_bytes(target),
        arena_bytes=lay_out_arena(target.slots, sizes).num_bytes,
        inputs_bytes=inputs_bytes(target.inputs, sizes, on_device),
        kv_cache_bytes=cache_bytes(target.cache_groups, num_pages),
        num_pages=num_pages,
        num_kv_tokens=num_tokens,
    )


def _choose_step(
    target: Target, limits: Limits, max_model_len: int, device_bytes: int | None
) -> StepSize:
    """The first that leaves the memory to keys and values, else the least."""
    *wanted, least = limits.step_sizes(device_bytes is not None)
    left = _share(limits, device_bytes) - weights_bytes(target)
    most_bytes = min(int(_STEP_SHARE * left), left - (limits.kv_cache_bytes or 0))

    def fits(step: StepSize) -> bool:
        step_bytes = _step_bytes(target, step, max_model_len, device_bytes is not None)
        return _has_slots(step, max_model_len) and step_bytes <= most_bytes

    return next(filter(fits, wanted), least)


def _kv_budget(
    target: Target, limits: Limits, step: StepSize, max_model_len: int, device_bytes: int | None
) -> int:
    """What the caller says, else what can be used, in any case within the share of the memory.

    On a device of its own nobody else wants the memory, so there the share is the only bound.
    """
    others = weights_bytes(target)
    others += _step_bytes(target, step, max_model_len, device_bytes is not None)
    share = _share(limits, device_bytes)
    wanted = limits.kv_cache_bytes
    if wanted is None:
        demand = _demand(step, max_model_len)
        num_tokens = num_useful_tokens(target.cache_groups, demand)
        useful = num_pages_for_tokens(target.cache_groups, num_tokens, demand)
        most = share - others if device_bytes else min(DEFAULT_KV_CACHE_BYTES, share - others)
        wanted = min(most, cache_bytes(target.cache_groups, useful))
    if others + wanted > share or wanted <= 0:
        there = (
            f"the {share} bytes that are gpu_memory_utilization="
            f"{limits.gpu_memory_utilization:g} of this {'GPU' if device_bytes else 'machine'}"
        )
        whole = device_bytes or memory_bytes()
        raise _shortage(weights_bytes(target), others, max(wanted, 0), share, whole, there)
    return wanted


def _share(limits: Limits, device_bytes: int | None) -> int:
    return int(limits.gpu_memory_utilization * (device_bytes or memory_bytes()))


def _step_bytes(target: Target, step: StepSize, max_model_len: int, on_device: bool) -> int:
    """Of arena and inputs."""
    sizes = _sizes(_bounds(target.cache_groups, step, max_model_len), max_model_len)
    arena = lay_out_arena(target.slots, sizes)
    return arena.num_bytes + inputs_bytes(target.inputs, sizes, on_device)


def _shortage(
    weights: int, others: int, cache: int, share: int, whole: int, there: str
) -> CapacityError:
    """What is too large for a share of the whole memory, and what helps; all in bytes."""
    least = weights if weights >= share else others + cache
    raised = ", or raise gpu_memory_utilization" if share < whole and least < whole else ""
    if weights >= share:
        return CapacityError(
            f"weights take {weights} bytes, more than {there}; take one with more memory{raised}"
        )
    return CapacityError(
        f"weights, arena and inputs take {others} bytes and the key-value cache {cache}, more than "
        f"{there}; lower max_num_seqs, max_num_batched_tokens, max_model_len or "
        f"kv_cache_bytes{raised}"
    )


def _demand(step: StepSize, max_model_len: int) -> Demand:
    return Demand(step.num_seqs, max_model_len, MAX_STEPS_IN_FLIGHT * step.num_tokens)


def _bounds(groups: list[CacheGroup], step: StepSize, max_model_len: int) -> Dims:
    width = max((math.ceil(max_model_len / g.page_size_tokens) for g in groups), default=1)
    return *step, width


def _sizes(bounds: Dims, max_model_len: int) -> Sizes:
    """A load has a slot for each sequence that a step may have."""
    num_slots = bounds[1]
    return dict(zip("TSRP", bounds, strict=True), N=num_slots, L=num_slots * max_model_len)


def _has_slots(step: StepSize, max_model_len: int) -> bool:
    return step.num_seqs * max_model_len <= _MAX_TOKENS_IN_SLOTS
