"""Compiles kernels ahead of time, in worker processes; each once, kept by a hash of its inputs."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...artifact import TensorMap
from ...artifact.scratch import objects_reported
from ...errors import BuildError
from .kernel import Box, Kernel
from .targets import TARGETS
from .workers import Run, Workers


@dataclass(frozen=True)
class Compiled:
    """Machine code of a kernel, and what launching it takes."""

    cubin: Path  # a hsaco for AMD
    assembly: Path  # its text: PTX, or AMD's, compressed by gzip
    entry: str
    num_warps: int
    num_stages: int  # fewer than were asked for, where those need too much shared memory
    shared_bytes: int
    registers: int
    local_bytes: int  # of a thread: spilled registers, or arrays of a slow path
    maps: list[TensorMap]  # none on targets that read boxes by pointers


@cache
def triton_version() -> str:
    """The version of Triton. Raises BuildError when there is none."""
    try:
        return version("triton")
    except PackageNotFoundError:
        raise BuildError("compiling for a GPU needs Triton: pip install triton==3.6.0") from None


class Compiler:
    """Compiles kernels for a target; what was compiled once is kept in the folder ``objects``."""

    def __init__(self, target: str, objects: Path, workers: Workers) -> None:
        objects.mkdir(parents=True, exist_ok=True)
        self._target, self._objects, self._workers = target, objects, workers
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)  # by a kernel's key

    def submit(self, kernels: Mapping[str, Kernel]) -> Future[dict[str, Compiled]]:
        """Machine code of kernels by name, which one worker compiles one after another.

        What is there already waits for no worker. The future fails with BuildError.
        """
        objects = self._objects
        jobs = {name: _job(name, kernel, self._target, objects) for name, kernel in kernels.items()}

        def is_done(job: Mapping[str, Any]) -> bool:
            return (objects / f"{job['key']}.json").exists()

        def read() -> dict[str, Compiled]:
            return {name: _read(objects, job, kernels[name]) for name, job in jobs.items()}

        def task(run: Run) -> dict[str, Compiled]:
            for job in jobs.values():
                with self._locks[job["key"]]:  # the same kernel may be asked for twice at once
                    if not is_done(job):
                        run(job)
            return read()

        if not all(map(is_done, jobs.values())):
            return self._workers.submit(task)
        done: Future[dict[str, Compiled]] = Future()
        done.set_result(read())
        return done


def compile_kernels(
    kernels: Mapping[str, Kernel], target: str, objects: Path
) -> dict[str, Compiled]:
    """Machine code of each kernel by name; kept in the folder ``objects``. Raises BuildError."""
    found: dict[str, Compiled] = {}
    errors = []
    objects.mkdir(parents=True, exist_ok=True)
    with Workers(objects) as workers:
        compiler = Compiler(target, objects, workers)
        for future in [compiler.submit({name: kernel}) for name, kernel in kernels.items()]:
            try:
                found |= future.result()
            except BuildError as error:
                errors.append(str(error))
    if errors:
        others = f"; in all {len(errors)} kernels fail" if errors[1:] else ""
        raise BuildError(errors[0] + others)
    return found


def _job(name: str, kernel: Kernel, target: str, objects: Path) -> dict[str, Any]:
    kind = TARGETS[target]
    job: dict[str, Any] = {
        "name": name,
        "types": [*kernel.types_on(kind.hopper_or_later), *("i32" for _ in kernel.scalars)],
        "target": asdict(kind),
        "num_warps": kernel.num_warps,
        "num_stages": kernel.num_stages,
    }
    source = kernel.source_as(name, kind.hopper_or_later)
    kept = [field.name for field in fields(Compiled)]  # another version may keep other facts
    text = json.dumps([triton_version(), kept, source, job])
    key = hashlib.sha256(text.encode()).hexdigest()[:40]
    path = objects / f"{key}.py"
    if not path.exists():
        whole = path.with_suffix(f".{os.getpid()}")  # nobody is to read a part of it
        with objects_reported(objects):
            whole.write_text(source)
            whole.replace(path)
    return job | {"key": key, "source": str(path), "folder": str(objects)}


def _read(objects: Path, job: Mapping[str, Any], kernel: Kernel) -> Compiled:
    facts = json.loads((objects / f"{job['key']}.json").read_text())
    made = facts.pop("maps")
    boxes = kernel.boxes if made else ()
    maps = [_tensor_map(*both, kernel) for both in zip(boxes, made, strict=True)]
    binary = objects / f"{job['key']}.{job['target']['binary']}"
    assembly = binary.with_suffix(f".{job['target']['assembly']}.gz")
    return Compiled(binary, assembly, maps=maps, **facts)


def _tensor_map(box: Box, made: Mapping[str, Any], kernel: Kernel) -> TensorMap:
    """How a buffer is read, as it was asked for and as Triton has made it."""
    rows, columns = made["box"]
    return TensorMap(
        buffer=box.buffer,
        dtype=kernel.types[box.buffer].removeprefix("*"),
        width=box.width,
        box=(rows, columns),
        swizzle=made["swizzle"],
    )
