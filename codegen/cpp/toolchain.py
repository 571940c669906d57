"""Runs the C++ compiler: deterministic, and each object once, kept by the hash of its inputs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from ...artifact.scratch import objects_reported, scratch_folder
from ...errors import BuildError

KIT = Path(__file__).parent / "kit"

LEVELS: dict[str, tuple[str, ...]] = {
    "x86-64-v4-bf16": ("-march=x86-64-v4", "-mavx512bf16", "-mavx512vnni"),
    "x86-64-v4": ("-march=x86-64-v4",),
    "x86-64-v3": ("-march=x86-64-v3",),
}
"""Instruction-set levels, best first, and the compiler's flags for each."""

# No contraction: a sum must have the same bits wherever it is inlined. No build paths or ids.
_COMMON = (
    *("-O2", "-fPIC", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-ffp-contract=off"),
    *("-fno-math-errno", "-fvisibility=hidden", "-frandom-seed=tapeout", "-g0", "-w"),
)
_CPP = ("-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")
_LINK = ("-shared", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-lm")


@cache
def compiler() -> str:
    """The C++ compiler. Raises BuildError when there is none."""
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if found is None:
        raise BuildError("no C++ compiler on the PATH; install g++, or name one in CXX")
    return found


@cache
def compiler_version() -> str:
    """Name and version, such as ``g++ 12.2.0``."""
    name = Path(compiler()).name
    return f"{name} {_run([compiler(), '-dumpfullversion', '-dumpversion']).strip()}"


@cache
def kit_digest() -> str:
    """Digest of every file of the kit: any change makes all objects anew."""
    digest = hashlib.sha256()
    for path in sorted(KIT.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def compile_object(name: str, source: str, flags: tuple[str, ...], objects: Path) -> Path:
    """The object of ``source`` (C++ when ``name`` ends in .cpp), kept in ``objects``."""
    language = _CPP if name.endswith(".cpp") else ("-std=c11",)
    flags = (*language, *_COMMON, *flags)
    key = "\0".join((compiler_version(), kit_digest(), name, source, *flags))
    target = objects / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.o"
    if target.exists():
        return target
    with scratch_folder(objects) as folder, objects_reported(objects):
        (folder / name).write_text(source)
        made = folder / "made.o"
        include = ("-I", str(KIT), f"-ffile-prefix-map={folder}=.", f"-ffile-prefix-map={KIT}=kit")
        driver = [compiler(), *(() if language is _CPP else ("-x", "c"))]
        _run([*driver, *flags, *include, "-c", str(folder / name), "-o", str(made)])
        made.replace(target)
    return target


def link(objects: list[Path], target: Path, libraries: tuple[str, ...] = ()) -> None:
    """A shared object of ``objects``, in their order."""
    driver = shutil.which("gcc") or compiler()
    _run([driver, *map(str, objects), *_LINK, *libraries, "-o", str(target)])


def _run(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise BuildError(
            f"{command[0]} cannot be run: {error.strerror}; install g++, or name one in CXX"
        ) from None
    if result.returncode:
        said = result.stderr.strip()[-2000:]
        raise BuildError(f"{' '.join(command)} ended with status {result.returncode}: {said}")
    return result.stdout
