"""Compiles Triton kernels to machine code for a GPU, in a process of its own.

Each line of the input is a job: the path of a source file, the name of its function, its signature
and options, and the folder to put the machine code and `<key>.json` in. Each is answered by a line:
an object whose `error` is null, or says what went wrong.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def compile_job(job: dict[str, Any]) -> None:
    """Writes the machine code of a job, and what launching it takes."""
    made = _fitting(job)
    facts = _write(job, made)
    if facts["local_bytes"] and job["target"]["backend"] == "cuda":
        most = min(255, 65536 // (32 * facts["num_warps"]) // 8 * 8)  # they are given by eights
        freed = _write(job, _compile(job, facts["num_stages"], maxnreg=most))
        if (
            freed["local_bytes"] < facts["local_bytes"]
        ):  # it spilled so that more blocks run at once
            facts = freed
        else:
            _write(job, made)
    _put(Path(job["folder"]) / f"{job['key']}.json", json.dumps(facts).encode())


def _write(job: dict[str, Any], made: Any) -> dict[str, Any]:
    """Writes machine code and its text; gives what is to be known of it."""
    meta, target = made.metadata, job["target"]
    scratch = getattr(meta, "global_scratch_size", 0)  # AMD knows none
    assert scratch == 0, f"{job['name']} needs global scratch memory"
    binary = Path(job["folder"]) / f"{job['key']}.{target['binary']}"
    _put(binary, made.asm[target["binary"]])
    assembly = made.asm[target["assembly"]].encode()
    compressed = gzip.compress(assembly, mtime=0)  # with a time, no two builds would be equal
    _put(binary.with_suffix(f".{target['assembly']}.gz"), compressed)
    facts = {"entry": meta.name, "num_warps": meta.num_warps, "num_stages": meta.num_stages}
    used = _used_by_cubin(binary) if target["backend"] == "cuda" else _used_by_amdgcn(made.asm)
    return facts | {"shared_bytes": meta.shared, "maps": _maps(meta)} | used


def _put(path: Path, data: bytes) -> None:
    """Writes a file in one step: others compile the same kernel, and nobody is to read a part."""
    whole = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    whole.write_bytes(data)
    whole.replace(path)


def _maps(meta: Any) -> list[dict[str, Any]]:
    """What one copy by each tensor map of a kernel brings, and how it lies in shared memory."""
    found = getattr(meta, "tensordesc_meta", None) or []
    return [{"box": list(one["block_size"]), "swizzle": one["swizzle"]} for one in found]


def _fitting(job: dict[str, Any]) -> Any:
    """Compiled with as many stages as asked for, or as many as the target's shared memory holds."""
    for num_stages in range(job["num_stages"], 0, -1):
        made = _compile(job, num_stages)
        if made.metadata.shared <= job["target"]["shared_bytes"]:
            return made
    raise MemoryError(
        f"a block takes {made.metadata.shared} bytes of shared memory, of which the target has "
        f"{job['target']['shared_bytes']}; the kernel needs smaller tiles"
    )


def _compile(job: dict[str, Any], num_stages: int, **more: int) -> Any:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.experimental.gluon._runtime import GluonASTSource

    function = _load(Path(job["source"]), job["name"])
    names = function.arg_names
    signature = dict(zip(names, job["types"], strict=True))
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(job["types"])
        if kind.startswith("*")
    }
    of_language = GluonASTSource if function.is_gluon() else triton.compiler.ASTSource
    source = of_language(function, signature, {}, aligned)
    wanted = job["target"]
    target = GPUTarget(wanted["backend"], wanted["arch"], wanted["warp_size"])
    options = {"num_warps": job["num_warps"], "num_stages": num_stages} | more
    return triton.compile(source, target=target, options=options)


def _load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def _used_by_cubin(cubin: Path) -> dict[str, int]:
    """Registers of a thread, and bytes of its local memory: what is spilled is there."""
    import triton.backends.nvidia as nvidia

    tool = Path(nvidia.__path__[0]) / "bin" / "cuobjdump"
    said = subprocess.run(
        [str(tool), "-res-usage", str(cubin)], capture_output=True, text=True, check=True
    ).stdout
    used = dict(word.split(":")[:2] for word in said.split() if word.count(":") == 1)
    return {"registers": int(used["REG"]), "local_bytes": int(used["STACK"]) + int(used["LOCAL"])}


def _used_by_amdgcn(asm: Mapping[str, Any]) -> dict[str, int]:
    """The same, as the assembly says it."""
    found = re.findall(r"\.(vgpr_count|private_segment_fixed_size): +(\d+)", asm["amdgcn"])
    used = {name: int(count) for name, count in found}
    return {"registers": used["vgpr_count"], "local_bytes": used["private_segment_fixed_size"]}


def main() -> None:
    """Compiles every job of the input, and answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what compilers print is no answer
    for line in sys.stdin:
        error = None
        try:
            compile_job(json.loads(line))
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        answers.write(json.dumps({"error": error}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
