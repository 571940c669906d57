"""Emits the Triton of one region and runs it on the CPU by Triton's interpreter."""

import io
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import gluon_on_cpu
import torch

from tapeout.artifact import evaluate
from tapeout.codegen.triton.emit import emit_region, gpu_key
from tapeout.codegen.triton.kernel import Steps
from tapeout.ir.graph import Module
from tapeout.ir.interpret import Interpreter
from tapeout.ir.ops.dtypes import to_torch
from tapeout.ir.parser import parse_function
from tapeout.ir.types import DType

VARIANTS = (
    Steps("one", 1, one_token_each=True),
    Steps("few", 16, one_token_each=True),
    Steps("some", 64),
    Steps("many", 256, one_token_each=True),
    Steps("any"),
)


INVARIANT = tuple(
    replace(steps, name=f"invariant_{steps.name}", batch_invariant=True) for steps in VARIANTS
)


class TritonRegion:
    """A region function, given as IR text or as it is, for steps of one size; in a configuration
    if one is given."""

    def __init__(self, function, steps, configuration=None):
        self.function = parse_function(function) if isinstance(function, str) else function
        tuned = {gpu_key(self.function, steps): configuration} if configuration else {}
        self.emitted = emit_region(self.function, steps, tuned)
        self.workspaces = None

    def run(self, arguments, symbols, inputs=None):
        """Results of the kernels; a cache, or what is written in place, is a tensor they write."""
        written = {v for v in self.function.results if v.dtype is DType.STATE or "L" in str(v.type)}
        results = [
            None if v in written else torch.full(v.type.concrete(symbols), 7).to(to_torch(v.dtype))
            for v in self.function.results
        ]
        self.workspaces = [
            torch.zeros(size.evaluate(symbols), dtype=torch.uint8)
            for size in self.emitted.workspaces
        ]
        tables = {"param": arguments, "result": results, "workspace": self.workspaces}
        tables["input"] = inputs or {}
        for kernel in self.emitted.kernels:
            buffers = [tables[operand.kind][operand.place] for operand in kernel.buffers]
            scalars = [scalar.evaluate(symbols) for scalar in kernel.scalars]
            grid = [blocks(term, symbols) for term in kernel.grid]
            _interpret(kernel, buffers, scalars, grid)
        return [result for result in results if result is not None]

    def reference(self, arguments, symbols):
        """Results of the interpreter; caches are its own."""
        name = self.function.name
        module = Module({name: self.function}, (name,), {}, "region")
        return Interpreter(module, {}, symbols).run(name, arguments)


def blocks(term, symbols):
    """Blocks along one axis of a grid."""
    return max(1, -(-evaluate(term.extent, {"": 1} | symbols) // term.divisor)) * term.factor


def _interpret(kernel, buffers, scalars, grid):
    """Runs a kernel on tensors, which it writes; pointers are typed as the kernel types them."""
    typed = [x.view(_DTYPES[t]) for x, t in zip(buffers, kernel.types, strict=True)]
    if kernel.is_gluon:
        gluon_on_cpu.run(kernel, typed, scalars, grid)
        return
    run_text(kernel.source_as("kernel"), typed, scalars, grid)


def run_text(source, tensors, scalars, grid):
    """Runs the text of a kernel in Triton on tensors, which it writes."""
    file = io.BytesIO()
    torch.save(tensors, file)
    job = (source, file.getvalue(), scalars, grid)
    written = torch.load(io.BytesIO(_pool().submit(_run, *job).result()))
    for tensor, new in zip(tensors, written, strict=True):
        tensor.copy_(new)


_DTYPES = {"*fp32": torch.float32, "*bf16": torch.bfloat16, "*fp16": torch.float16}
_DTYPES |= {"*i32": torch.int32, "*i64": torch.int64}


@cache
def _pool():
    """One process in which Triton interprets; it is told so before it is imported."""
    os.environ["TRITON_INTERPRET"] = "1"
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    pool.submit(int).result()
    del os.environ["TRITON_INTERPRET"]
    return pool


def _run(source, data, scalars, grid):
    import triton_interpreter  # it imports Triton, which this process is told to interpret

    triton_interpreter.mend()
    tensors = torch.load(io.BytesIO(data))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.py"
        path.write_text(source)
        scope = {"__name__": "source"}
        exec(compile(source, str(path), "exec"), scope)
        scope["kernel"][tuple(grid)](*tensors, *scalars)
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue()
