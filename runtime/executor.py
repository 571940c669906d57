"""Runs steps: binds an artifact's tapes to memory once, then copies frames in and plays.

All memory is allocated when the executor is made, at the sizes that the plan says.
"""

import numpy as np

from ..artifact import Artifact
from .buffers import Buffers
from .frame import F32, I32, Frame, SamplingFrame
from .layout import coefficients
from .machine import choose_level, choose_num_threads
from .plan import MemoryPlan
from .player import Launch, Player, PlayerLibrary
from .weights import LoadedWeights

TARGET = "cpu"

_STEP_INPUTS = (
    "token_ids",
    "positions",
    "sequence_ids",
    "query_start",
    "context_lengths",
    "logit_rows",
)
_SAMPLE_INPUTS = ("temperature", "seeds", "sample_positions")


class Executor:
    """An opened artifact with its memory and threads; `close` ends the threads."""

    def __init__(
        self, artifact: Artifact, plan: MemoryPlan, num_threads: int | None = None
    ) -> None:
        self._target = artifact.manifest.targets[TARGET]
        self._vocab_size = artifact.manifest.model.vocab_size
        self._bounds = plan.bounds
        self.num_threads = choose_num_threads(num_threads)
        library = PlayerLibrary(artifact.file_path(self._target.player))
        self.level = choose_level(self._target, library)
        weights = LoadedWeights(artifact, TARGET, self.num_threads)
        self.buffers = Buffers(self._target, plan, weights)
        kernels = artifact.file_path(self._target.levels[self.level])
        self._player = Player(library, kernels, self.num_threads)
        self._tapes = {entry: self._add_tape(artifact, entry) for entry in self._target.tapes}
        self._block_tables = [f"block_table_{group.name}" for group in self._target.cache_groups]

    def step(self, frame: Frame) -> F32:
        """Computes a step; gives a view of its logits, f32[R, V], valid until the next step."""
        self._fill(frame)
        self._player.run(self._tapes["step"], frame.dims)
        return self.logits(len(frame.logit_rows))

    def run(self, frame: Frame, sampling: SamplingFrame) -> I32:
        """Computes a step and gives the token chosen from each row of logits, i32[R]."""
        self.step(frame)
        num_rows = len(frame.logit_rows)
        if num_rows == 0:
            return np.zeros(0, np.int32)
        self.buffers.fill_all(_SAMPLE_INPUTS, sampling)
        self._player.run(self._tapes["sample"], frame.dims)
        sampled: I32 = self.buffers.slot(self._target.outputs["sampled"], np.int32)
        return sampled[:num_rows].copy()

    def run_until(self, frame: Frame, num_launches: int) -> None:
        """Plays only the first launches of a step, for bisecting."""
        self._fill(frame)
        self._player.run_until(self._tapes["step"], frame.dims, num_launches)

    def logits(self, num_rows: int) -> F32:
        """A view of the last step's logits, f32[num_rows, V]."""
        flat: F32 = self.buffers.slot(self._target.outputs["logits"], np.float32)
        return flat[: num_rows * self._vocab_size].reshape(num_rows, self._vocab_size)

    def close(self) -> None:
        """Ends the threads; nothing may be run afterwards."""
        self._player.close()

    def _fill(self, frame: Frame) -> None:
        for name, dim, bound in zip("TSRP", frame.dims, self._bounds, strict=True):
            assert dim <= bound, f"a step has {name}={dim}, the executor was made for {bound}"
        self.buffers.fill_all(_STEP_INPUTS, frame)
        for name, table in zip(self._block_tables, frame.block_tables, strict=True):
            self.buffers.fill(name, table.ravel())

    def _add_tape(self, artifact: Artifact, entry: str) -> int:
        launches = [
            Launch(
                launch.kernel,
                [self.buffers.address(buffer) for buffer in launch.buffers],
                [coefficients(scalar) for scalar in launch.scalars],
            )
            for launch in artifact.tape(TARGET, entry).launches
        ]
        return self._player.add_tape(launches)
