"""Opens the space of an artifact on the device that runs it here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..artifact import Artifact
from ..runtime.choose_target import choose_target
from .cpu_space import CpuSpace
from .gpu_space import GpuSpace
from .space import Space


@contextmanager
def open_space(artifact: Path, num_threads: int | None = None) -> Iterator[Space[Any]]:
    """The space, for the length of a block.

    Raises ArtifactError, or InputError where no device runs it.
    """
    _, device = choose_target(Artifact.open(artifact, verify_weights=False))
    space: Space[Any]
    if device is not None:
        device.close()
        space = GpuSpace(artifact)
    else:
        space = CpuSpace(artifact, num_threads)
    try:
        yield space
    finally:
        space.close()
