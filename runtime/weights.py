"""An artifact's weights in memory of our own.

They are copied out of the verified mapping: large pages are read faster than a file's small ones,
and what happens to the file later, on a disk or a network, cannot reach a running model.
"""

import numpy as np

from ..artifact import Artifact, Target
from ..interrupts import in_threads
from .memory import allocate, round_up


def weights_bytes(target: Target) -> int:
    """Bytes of all weights, each starting on an aligned address."""
    return sum(round_up(tensor.bytes) for tensor in target.weights.tensors.values())


class LoadedWeights:
    """The weights of one target; addresses are valid as long as this lives."""

    def __init__(self, artifact: Artifact, target_name: str, num_threads: int) -> None:
        self._artifact, self._target_name = artifact, target_name
        target = artifact.manifest.targets[target_name]
        self.memory = allocate(weights_bytes(target), "the weights")
        self._offsets: dict[str, int] = {}
        end = 0
        for name, tensor in target.weights.tensors.items():
            self._offsets[name] = end
            end += round_up(tensor.bytes)
        in_threads(self._copy, self._offsets, num_threads)
        del self._artifact  # and with it the mapping of its files

    def address(self, name: str) -> int:
        """Where a weight is."""
        return int(self.memory.ctypes.data) + self._offsets[name]

    def _copy(self, name: str) -> None:
        source = self._artifact.weight(self._target_name, name)
        start = self._offsets[name]
        np.copyto(self.memory[start : start + len(source)], source)
