"""Compiles Triton kernels to machine code for a GPU, in a process of its own.

    python -m tapeout.codegen.triton.worker < jobs.json

Each line of the input is a job: the path of a source file, the name of its function, its signature
and options, and the folder to put `<key>.cubin` and `<key>.json` in.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def compile_job(job: dict[str, Any]) -> None:
    """Writes the cubin of a job, and what launching it takes."""
    import triton
    from triton.backends.compiler import GPUTarget

    function = _load(Path(job["source"]), job["name"])
    names = function.arg_names
    signature = dict(zip(names, job["types"], strict=True))
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(job["types"])
        if kind.startswith("*")
    }
    source = triton.compiler.ASTSource(function, signature, {}, aligned)
    backend, arch = job["target"]
    options = {"num_warps": job["num_warps"], "num_stages": job["num_stages"]}
    made = triton.compile(source, target=GPUTarget(backend, arch, 32), options=options)
    meta = made.metadata
    assert meta.global_scratch_size == 0, f"{job['name']} needs global scratch memory"
    folder, key = Path(job["folder"]), job["key"]
    cubin = folder / f"{key}.cubin"
    cubin.write_bytes(made.asm["cubin"])
    facts = {"entry": meta.name, "num_warps": meta.num_warps, "shared_bytes": meta.shared}
    (folder / f"{key}.json").write_text(json.dumps(facts | _resources(cubin)))


def _load(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def _resources(cubin: Path) -> dict[str, int]:
    """Registers of a thread, and bytes of its local memory: what is spilled is there."""
    import triton.backends.nvidia as nvidia

    tool = Path(nvidia.__path__[0]) / "bin" / "cuobjdump"
    said = subprocess.run(
        [str(tool), "-res-usage", str(cubin)], capture_output=True, text=True, check=True
    ).stdout
    used = dict(word.split(":")[:2] for word in said.split() if word.count(":") == 1)
    return {"registers": int(used["REG"]), "local_bytes": int(used["STACK"]) + int(used["LOCAL"])}


def main() -> None:
    """Compile every job of the input; says what failed, and goes on."""
    failed = False
    for line in sys.stdin:
        job = json.loads(line)
        try:
            compile_job(job)
        except Exception as error:
            failed = True
            sys.stderr.write(f"{job['name']}: {type(error).__name__}: {error}\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
