"""Builds libraries of kernels: every emitted region and the kit, once for each level."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .toolchain import KIT, LEVELS, compile_object, link

PLAYER = Path(__file__).parents[1] / "player" / "player.c"


def build_libraries(
    sources: Mapping[str, str], levels: Sequence[str], objects: Path, folder: Path
) -> dict[str, Path]:
    """``folder/<level>.so`` for each of ``levels``; ``sources`` are C++ files by name.

    Reading the compiler's own headers takes longer than a region does, so all regions are compiled
    as one file. Objects are kept in the folder ``objects`` and reused. Raises BuildError.
    """
    objects.mkdir(parents=True, exist_ok=True)
    files = kit_files() | {"regions.cpp": "\n".join(text for _, text in sorted(sources.items()))}
    jobs = [(level, name) for level in levels for name in files]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = pool.map(
            lambda job: compile_object(job[1], files[job[1]], LEVELS[job[0]], objects), jobs
        )
        built = list(compiled)
    libraries = {}
    for place, level in enumerate(levels):
        libraries[level] = folder / f"{level}.so"
        link(built[place * len(files) : (place + 1) * len(files)], libraries[level])
    return libraries


def build_trial(source: str, level: str, objects: Path, folder: Path) -> Path:
    """A library of a C++ file that is wanted once: in ``folder``, with its own object.

    The kit's objects are taken from ``objects``. Raises BuildError.
    """
    objects.mkdir(parents=True, exist_ok=True)
    kit = [compile_object(name, text, LEVELS[level], objects) for name, text in kit_files().items()]
    own = compile_object("regions.cpp", source, LEVELS[level], folder)
    link([*kit, own], folder / "trial.so")
    return folder / "trial.so"


def build_player(objects: Path, target: Path) -> None:
    """The player, for any x86-64 CPU. Raises BuildError."""
    objects.mkdir(parents=True, exist_ok=True)
    made = compile_object(
        PLAYER.name, PLAYER.read_text(), ("-march=x86-64", "-fvisibility=default"), objects
    )
    link([made], target, ("-lpthread", "-ldl"))


def kit_files() -> dict[str, str]:
    """The kit's files that are compiled, by name."""
    return {path.name: path.read_text() for path in sorted(KIT.glob("*.cpp"))}


def kit_sources() -> dict[str, str]:
    """The kit's files by name, as an artifact keeps them beside the emitted sources."""
    return {path.name: path.read_text() for path in sorted(KIT.iterdir())}
