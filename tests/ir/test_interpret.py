"""The interpreter runs every level to the same logits, and bisects to the first wrong op."""

from pathlib import Path

import torch

from tapeout.ir.interpret import Interpreter, first_difference
from tapeout.ir.ops.dtypes import to_torch
from tapeout.ir.parser import parse_module
from tapeout.passes.check import NumericCheck, PassChangedResults
from tapeout.passes.pipeline import FUSE, PAGED, REGIONS
from tapeout.passes.run import run_stages

LLAMA = parse_module((Path(__file__).parent / "llama.ir").read_text())
SYMBOLS = {"T": 3, "S": 1, "R": 1, "P": 1}


def evaluate(weights):
    """Random tensors that are a function of the sources, so that merged weights agree."""

    def run(step, shape, dtype):
        if step.op == "checkpoint":
            seed = sum(map(ord, step.arguments[0]))
            return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype) / 4
        if step.op == "multiply_columns":
            (x, y), (number,) = step.inputs, step.arguments
            return run(x, shape, dtype) * (number + run(y, shape[-1:], dtype))
        rows = [16 if ".k" in s.arguments[0] or ".v" in s.arguments[0] else 32 for s in step.inputs]
        parts = [run(s, (n, *shape[1:]), dtype) for s, n in zip(step.inputs, rows, strict=True)]
        return torch.cat(parts, step.arguments[0])

    return {
        name: run(program, weight.type.concrete({}), to_torch(weight.type.dtype))
        for weight in weights.values()
        for name, program in weight.members()
    }


def test_every_stage_keeps_the_logits():
    check = NumericCheck(evaluate)
    _, reports = run_stages(LLAMA, (PAGED, FUSE, REGIONS), check)
    assert sum(report.rewrites for report in reports) > 10


def test_check_refuses_a_pass_that_changes_results():
    import pytest

    changed = parse_module(str(LLAMA).replace("scale = 0.35", "scale = 0.1"))
    with pytest.raises(PassChangedResults, match="logits moved"):
        NumericCheck(evaluate)(LLAMA, changed)


def test_bisection_names_the_first_op_that_differs():
    arguments = [
        torch.tensor([1, 2, 3]),
        torch.tensor([0, 1, 2]),
        torch.zeros(3, dtype=torch.long),
        torch.tensor([2]),
    ]
    weights = evaluate(LLAMA.weights)
    broken = parse_module(str(LLAMA).replace("silu(%g)", "sigmoid(%g)"))
    trace = []
    run = Interpreter(broken, weights, SYMBOLS, lambda f, n, r: trace.append(r))
    run.run("step", arguments)
    seen = iter(trace)

    def differs(function, node, results):
        return any(not torch.equal(a, b) for a, b in zip(results, next(seen), strict=True))

    function, node = first_difference(LLAMA, weights, SYMBOLS, arguments, differs)
    assert (function, node.op) == ("layer0", "silu")
