"""Random weights from shapes alone (`load_format="dummy"`): builds without a download."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch

STANDARD_DEVIATION = 0.02


class DummyCheckpoint:
    """Stands for a checkpoint: each tensor is drawn when read, the same for a name and a seed.

    Values are normal with a standard deviation of 0.02, around 1 for vectors (the weights of norms)
    and around 0 for all others.
    """

    def __init__(
        self,
        config: dict[str, Any],
        shapes: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
        seed: int = 0,
    ) -> None:
        self.config = config
        self.shapes = shapes
        self._seed = seed

    def read(self, name: str) -> torch.Tensor:
        """The tensor, made anew each time."""
        dtype, shape = self.shapes[name]
        if not dtype.is_floating_point:
            return torch.zeros(shape, dtype=dtype)
        seed = int.from_bytes(sha256(f"{self._seed} {name}".encode()).digest()[:7], "little")
        generator = torch.Generator().manual_seed(seed)
        mean = 1.0 if len(shape) == 1 else 0.0
        values = torch.empty(shape, dtype=dtype)
        return values.normal_(mean, STANDARD_DEVIATION, generator=generator)

    def release(self, name: str) -> None:
        """Does nothing: a tensor's memory goes with its last reference."""
