"""What `tapeout plan` tells of a model on a target: memory, and the steps as predicted."""

from collections.abc import Iterator, Sequence

import msgspec

from ..artifact import CacheGroup, Described, Model
from ..kvcache.budget import whole_pages
from .cuda.graphs import graphs_bytes
from .device_limits import DeviceLimits
from .kernel_costs import LaunchCosts
from .kernel_rows import KernelRow, rows_of
from .limits import Limits
from .plan import MemoryPlan, plan_memory
from .predict import predict_launches, predict_step
from .step_shape import StepShape, decode_shape, prompt_shape

_PROMPTS = (128, 1024)  # tokens, and as many as a step takes


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan takes a target to run on."""

    name: str
    memory_bytes: int | None  # None: this machine's
    limits: DeviceLimits | None  # None: not known, and nothing can be predicted
    assumed: str  # where they are from, in words


class PredictedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A decode step, or a step of a prompt alone, from its arrival to a token."""

    num_seqs: int
    num_tokens: int  # of each
    context: int  # tokens of each before them
    time_s: float
    kernels: list[KernelRow]  # the longest first


class TargetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A model on a target and its device."""

    target: str
    device: str
    assumed: str
    batch_invariant: bool
    memory: MemoryPlan
    total_bytes: int  # of the memory: all that a load allocates
    graphs_bytes: int  # about; beside the memory, where decode steps are captured
    num_pages: dict[str, int]  # of each cache group, the null page included
    num_longest_seqs: int  # of max_model_len, that have pages at a time
    too_long: list[int]  # contexts that are asked for, and longer than a sequence may be
    decode: list[PredictedStep]  # of 1, 2, 4, ... sequences, after each context that has pages
    prompts: list[PredictedStep]


def plan_target(
    name: str,
    model: Model,
    described: Described,
    device: Device,
    limits: Limits,
    contexts: Sequence[int],
) -> TargetPlan:
    """The plan of one target. Raises InputError or CapacityError for what does not fit."""
    groups, longest = described.target.cache_groups, model.max_position_embeddings
    memory = plan_memory(described.target, longest, limits, device.memory_bytes)
    most = min(memory.bounds[:3])
    shapes = _decode_shapes(groups, memory, contexts), _prompt_shapes(memory)
    decode, prompts = (
        [_predicted(described, shape, device.limits, model.dtype) for shape in of_kind]
        if device.limits
        else []
        for of_kind in shapes
    )
    return TargetPlan(
        target=name,
        device=device.name,
        assumed=device.assumed,
        batch_invariant=described.target.batch_invariant,
        memory=memory,
        total_bytes=memory.total_bytes,
        graphs_bytes=graphs_bytes(described, most) if device.memory_bytes else 0,
        num_pages=dict(zip((g.name for g in groups), memory.num_pages, strict=True)),
        num_longest_seqs=memory.num_kv_tokens // whole_pages(groups, memory.max_model_len),
        too_long=[context for context in contexts if context >= memory.max_model_len],
        decode=decode,
        prompts=prompts,
    )


def _decode_shapes(
    groups: Sequence[CacheGroup], memory: MemoryPlan, contexts: Sequence[int]
) -> Iterator[StepShape]:
    """Of 1, 2, 4, ... and all sequences, after each context that the cache has pages for."""
    most = min(memory.bounds[:3])
    for num_seqs in (*_doubled(most), most):
        for context in contexts:
            fits = num_seqs * whole_pages(groups, context + 1) <= memory.num_kv_tokens
            if fits and context < memory.max_model_len:
                yield decode_shape(num_seqs, context)


def _doubled(most: int) -> Iterator[int]:
    """1, 2, 4, ... below `most`."""
    yield from (1 << i for i in range((most - 1).bit_length()))


def _prompt_shapes(memory: MemoryPlan) -> Iterator[StepShape]:
    most = min(memory.max_num_batched_tokens, memory.max_model_len)
    yield from (prompt_shape(1, num_tokens) for num_tokens in _PROMPTS if num_tokens < most)
    yield prompt_shape(1, most)


def _predicted(
    described: Described, shape: StepShape, limits: DeviceLimits, dtype: str
) -> PredictedStep:
    target, launches = described.target, shape.launches(described)
    times_s = predict_launches(launches, target, shape, limits, dtype)
    timed = list(zip(launches, times_s, strict=True))
    num_tokens = int(shape.query_start[1])
    return PredictedStep(
        num_seqs=len(shape.context_lengths),
        num_tokens=num_tokens,
        context=int(shape.context_lengths[0]) - num_tokens,
        time_s=predict_step(times_s, shape.one_token_each, limits),
        kernels=rows_of(timed, LaunchCosts(target, shape), limits, dtype),
    )
