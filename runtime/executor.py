"""Runs steps: binds an artifact's tapes to memory once, then copies frames in and plays.

All memory is allocated when the executor is made, at the sizes that the plan says.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact, Buffer
from .buffers import Buffers
from .frame import F32, NUM_TOP_LOGPROBS, Frame, Logprobs, StepResult
from .layout import coefficients
from .machine import choose_level, choose_num_threads
from .memory import Place
from .phases import Phases
from .plan import MemoryPlan
from .player import Dims, Launch, Player, PlayerLibrary
from .slot_tables import SlotTables
from .step_thread import StepThread
from .weights import LoadedWeights

TARGET = "cpu"

_STEP_INPUTS = (
    "token_places",
    "positions",
    "sequence_ids",
    "query_start",
    "context_lengths",
    "logit_rows",
    "sample_slots",
    "sample_positions",
    "sample_places",
    "targets",
)


class Executor:
    """An opened artifact with its memory and threads; `close` ends the threads.

    `submit` and `wait` are for one caller; steps run in order in a thread of the executor's own.
    """

    def __init__(
        self, artifact: Artifact, plan: MemoryPlan, num_threads: int | None = None
    ) -> None:
        self._target = artifact.manifest.targets[TARGET]
        self.vocab_size = artifact.manifest.model.vocab_size
        self.plan, self._bounds = plan, plan.bounds
        self.num_threads = choose_num_threads(num_threads)
        self.player_s = 0.0  # that the player has computed so far
        self.startup_s = Phases()
        self._load(artifact)
        self._thread = StepThread(self._run)

    def submit(self, frame: Frame) -> None:
        """Queues a step, whose arrays must not change until it has reported."""
        self._thread.submit(frame)

    def wait(self) -> StepResult:
        """The result of the oldest step submitted.

        Raises StepError if it failed, and ever after: the tables are in an unknown state.
        """
        return self._thread.wait()

    def run(self, frame: Frame) -> StepResult:
        """Computes one step."""
        self.submit(frame)
        return self.wait()

    def step(self, frame: Frame) -> F32:
        """Computes a step up to its logits: a view, f32[R, V], valid until the next step."""
        self.send(frame)
        self._play(self._tapes["step"], frame.dims)
        return self.logits(len(frame.logit_rows))

    def send(self, frame: Frame) -> None:
        """Copies a step's inputs to where launches find them: `play_part` plays some of these."""
        assert self._thread.num_unreported == 0, "steps are in flight"
        self._fill(frame)

    def play_part(self, tape: str, frame: Frame, begin: int, end: int) -> None:
        """Plays launches `begin` to `end` of a tape for the step that was sent."""
        self._player.run_part(self._tapes[tape], self.dims_of(frame), begin, end)

    def place(self, buffer: Buffer) -> Place:
        """Where launches find a buffer."""
        return Place(self.buffers.address(buffer), on_device=False)

    def dims_of(self, frame: Frame) -> Dims:
        """A step's T, S, R and P as launches are told them."""
        return frame.dims

    def logits(self, num_rows: int) -> F32:
        """A view of the last step's logits, f32[num_rows, V]."""
        return self._rows_of("logits", num_rows, self.vocab_size)

    def close(self) -> None:
        """Ends the threads after the step that is being computed; nothing may be run afterwards."""
        self._thread.close()
        self._player.close()

    def _load(self, artifact: Artifact) -> None:
        assert self._target.player is not None, "a CPU has a player"
        timed = self.startup_s.timed
        with timed("player"):
            library = PlayerLibrary(artifact.file_path(self._target.player))
            self.level = choose_level(self._target, library)
        with timed("digests"):
            artifact.verify_weights(TARGET)
        with timed("weights"):
            weights = LoadedWeights(artifact, TARGET, self.num_threads)
        with timed("memory"):
            self.buffers = Buffers(self._target, self.plan, weights)
            self._bind()
        with timed("kernels"):
            kernels = artifact.file_path(self._target.levels[self.level])
            self._player = Player(library, kernels, self.num_threads)
            self._tapes = {name: self._add_tape(artifact, [name]) for name in self._target.tapes}
            # As one call it takes the GIL once.
            self._whole = self._add_tape(artifact, ["step", "sample"])

    def _bind(self) -> None:
        """Looks up every array that a step is copied to or from."""
        inputs = self.buffers.inputs
        self._slots = SlotTables(inputs, self._bounds[1])
        self._step_inputs = [(name, inputs[name]) for name in _STEP_INPUTS]
        groups = self._target.cache_groups
        self._block_tables = [inputs[f"block_table_{group.name}"] for group in groups]
        self._outputs = {
            name: self.buffers.slot(slot, _dtype_of(name))
            for name, slot in self._target.outputs.items()
        }

    def _run(self, frame: Frame) -> StepResult:
        dims = frame.dims
        self._fill(frame)
        self._play(self._whole, dims)
        num_rows = dims[2]
        sampled = self._outputs["sampled"][:num_rows].copy()
        logprobs = self._logprobs(num_rows) if frame.wants_logprobs else None
        return StepResult(frame.step_id, sampled, logprobs)

    def _fill(self, frame: Frame) -> None:
        for name, dim, bound in zip("TSRP", frame.dims, self._bounds, strict=True):
            assert dim <= bound, f"a step has {name}={dim}, the executor was made for {bound}"
        for arrival in frame.arrivals:
            self._slots.occupy(arrival)
        for slot, mask in frame.masks:
            self._slots.set_mask(slot, mask)
        for name, array in self._step_inputs:
            values = getattr(frame, name)
            array[: len(values)] = values
        for array, table in zip(self._block_tables, frame.block_tables, strict=True):
            array[: table.size] = table.ravel()

    def _play(self, tape: int, dims: Dims) -> None:
        started_s = time.perf_counter()
        self._player.run(tape, dims)
        self.player_s += time.perf_counter() - started_s

    def _logprobs(self, num_rows: int) -> Logprobs:
        return Logprobs(
            chosen=self._outputs["chosen_logprobs"][:num_rows].copy(),
            ranks=self._outputs["ranks"][:num_rows].copy(),
            top_token_ids=self._rows_of("top_token_ids", num_rows, NUM_TOP_LOGPROBS).copy(),
            top=self._rows_of("top_logprobs", num_rows, NUM_TOP_LOGPROBS).copy(),
        )

    def _rows_of(self, output: str, num_rows: int, width: int) -> NDArray[Any]:
        return self._outputs[output][: num_rows * width].reshape(num_rows, width)

    def _add_tape(self, artifact: Artifact, entries: Sequence[str]) -> int:
        launches = [
            Launch(
                launch.kernel,
                [self.buffers.address(buffer) for buffer in launch.buffers],
                [coefficients(scalar) for scalar in launch.scalars],
            )
            for entry in entries
            for launch in artifact.tape(TARGET, entry).launches
        ]
        return self._player.add_tape(launches)


_INTEGER_OUTPUTS = ("sampled", "ranks", "top_token_ids")


def _dtype_of(output: str) -> Any:
    return np.int32 if output in _INTEGER_OUTPUTS else np.float32
