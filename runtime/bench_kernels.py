"""`tapeout bench kernels`: the time of each kernel of a step, against what the card can do.

The step is a real one: a scheduler has planned it, and steps before it have filled the cache.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from ..artifact import Artifact
from ..errors import CapacityError, InputError, TapeoutError
from .checks import check_whole
from .choose_target import choose_target
from .cuda.card_limits import limits_of
from .cuda.executor import CudaExecutor
from .frame import I32, Frame
from .kernel_costs import LaunchCosts
from .kernel_report import KernelsReport
from .kernel_rows import rows_of
from .limits import Limits
from .load import LoadedModel, artifact_path, open_model
from .request import Arrive, Event, Finished, Request

_STEP_TOKENS = 8192  # that one step takes of the prompts
_NUM_STEPS = 32  # that are timed as the engine runs them
_MAX_COUNT = 1 << 24


class KernelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A step of `batch` sequences of `context` tokens. Raises InputError naming a bad value.

    It takes a token of each, or their first tokens: as many as go into one step.
    """

    batch: int = 1
    context: int = 128
    step: Literal["decode", "prefill"] = "decode"

    def __post_init__(self) -> None:
        for name in ("batch", "context"):
            check_whole(name, getattr(self, name), 1, _MAX_COUNT)

    @property
    def num_steps(self) -> int:
        """The most that the prompts take, in which the first may already go on."""
        return -(-self.batch * self.context // _STEP_TOKENS) + 1

    @property
    def max_model_len(self) -> int:
        """For the longest sequence when the step comes, and the token that it gives."""
        return self.context + 1 + self.num_steps

    @property
    def limits(self) -> Limits:
        """What the model is loaded for."""
        return Limits(
            max_model_len=self.max_model_len,
            max_num_seqs=self.batch,
            max_num_batched_tokens=_STEP_TOKENS + self.batch,
        )


def measure_kernels(model: Path, options: KernelOptions) -> KernelsReport:
    """Loads an artifact on the GPU and times the launches of a step.

    Raises InputError where it does not run on a GPU, or its model has no such context.
    """
    folder = artifact_path(model)
    _check(Artifact.open(folder, verify_weights=False), options)
    loaded = open_model(folder, options.limits)
    executor = loaded.executor
    assert isinstance(executor, CudaExecutor)
    try:
        frame = _step(loaded, options)
        return _report(loaded, executor, frame)
    finally:
        executor.close()


def _check(artifact: Artifact, options: KernelOptions) -> None:
    longest = artifact.manifest.model.max_position_embeddings
    if options.max_model_len > longest:
        raise InputError(
            f"context={options.context} and what follows it come to {options.max_model_len} "
            f"tokens, more than the model's {longest}; lower it"
        )
    target_name, device = choose_target(artifact)
    if device is None:
        raise InputError(
            f"{artifact.path} runs here as its target {target_name}, but kernels are timed on a "
            "GPU; measure it with bench latency"
        )
    device.close()


def _step(loaded: LoadedModel, options: KernelOptions) -> Frame:
    """The first step, or the first that is a token of each sequence after its prompt; it is run."""
    scheduler = loaded.scheduler(enable_prefix_caching=False)
    prompts = _prompts(options, loaded.manifest.model.vocab_size)
    events: Sequence[Event] = [
        Arrive(
            Request(
                request_id=str(number),
                prompt_token_ids=prompt,
                max_tokens=1 + options.num_steps,
                cache_salt=None,
            )
        )
        for number, prompt in enumerate(prompts)
    ]
    while True:
        plan = scheduler.step(0.0, events)
        if plan.finished:
            raise _too_early(plan.finished[0], options)
        assert plan.frame is not None, "sequences that have not ended go on"
        events = [loaded.executor.run(plan.frame)]
        if options.step == "prefill":
            return plan.frame
        is_decode = plan.frame.dims[:3] == (options.batch,) * 3
        if is_decode and plan.frame.positions.min() >= options.context:
            return plan.frame


def _too_early(end: Finished, options: KernelOptions) -> TapeoutError:
    if end.finish_reason != "length":
        return TapeoutError(f"a sequence ended before the step: {end.finish_reason}")
    return CapacityError(
        f"batch={options.batch} sequences of context={options.context} tokens do not fit in the "
        "GPU's memory at a time; lower one of them"
    )


def _prompts(options: KernelOptions, vocab_size: int) -> I32:
    shape = options.batch, options.context
    return np.random.default_rng(0).integers(0, vocab_size, shape, np.int32)


def _step_s(executor: CudaExecutor, frame: Frame) -> float:
    """The median time of a step that is queued while the one before runs."""
    times_s = []
    executor.submit(frame)
    for _ in range(_NUM_STEPS):
        executor.submit(frame)
        before_s = executor.player_s
        executor.wait()
        times_s.append(executor.player_s - before_s)
    executor.wait()
    return float(np.median(times_s[1:]))


def _report(loaded: LoadedModel, executor: CudaExecutor, frame: Frame) -> KernelsReport:
    step_s, timed = _step_s(executor, frame), executor.time_launches(frame)
    target, device = loaded.manifest.targets[loaded.target_name], executor.device.facts.name
    card = limits_of(device)
    rows = rows_of(timed, LaunchCosts(target, frame), card, loaded.manifest.model.dtype)
    num_repeated = sum(row.num_launches for row in rows if row.num_launches > 1)
    return KernelsReport(
        target=loaded.target_name,
        device=device,
        num_tokens=frame.dims[0],
        num_seqs=len(frame.context_lengths),
        context=(int(frame.context_lengths.min()), int(frame.context_lengths.max())),
        step_s=step_s,
        launches_s=sum(row.time_s for row in rows),
        num_launches=len(timed),
        launches_per_layer=num_repeated / sum(group.layers for group in target.cache_groups),
        bytes=sum(row.bytes or 0 for row in rows),
        memory_bytes_per_s=card.bytes_per_s if card else None,
        kernels=rows,
    )
