"""Builds the player for GPUs, a C library that needs neither CUDA to build nor Triton to run."""

from __future__ import annotations

from pathlib import Path

from ..cpp.toolchain import compile_object, link

PLAYER = Path(__file__).parents[1] / "player" / "cuda_player.c"


def build_cuda_player(objects: Path, target: Path) -> None:
    """The player as the shared object ``target``, for any x86-64 CPU. Raises BuildError."""
    objects.mkdir(parents=True, exist_ok=True)
    made = compile_object(PLAYER.name, PLAYER.read_text(), ("-march=x86-64",), objects)
    link([made], target, ("-ldl",))
