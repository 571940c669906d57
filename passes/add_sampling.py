"""Give the step f32 logits, and the module an entry that draws tokens from them.

Before:
    module level=paged

    entry @step(%logits: bf16[R, 32]) {
      return %logits
    }

After:
    module level=paged

    entry @step(%logits: bf16[R, 32]) {
      %logits_f32: f32[R, 32] = cast(%logits) {dtype = f32}
      return %logits_f32
    }

    entry @sample(%logits: f32[R, 32], %temperature: f32[R], %seeds: i64[R],
                  %sample_positions: i64[R]) {
      %tokens: i32[R] = sample(%logits, %temperature, %seeds, %sample_positions)
      return %tokens
    }

Requires: the first result of @step is logits [R, V].
Keeps: sampling apart from the step, so that masks and penalties may come between.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Function, Module, Names, Node, Value
from ..ir.types import DType, TensorType


def add_sampling(module: Module) -> tuple[Module, int]:
    """Add @sample unless the module has it."""
    if "sample" in module.functions or "step" not in module.functions:
        return module, 0
    step = _with_f32_logits(module.functions["step"])
    module = module.with_functions(step, _sample(step.results[0].type))
    return replace(module, entries=(*module.entries, "sample")), 1


def _with_f32_logits(step: Function) -> Function:
    logits = step.results[0]
    if logits.dtype is DType.F32:
        return step
    wide = Value(Names(step).fresh(f"{logits.name}_f32"), logits.type.with_dtype("f32"))
    cast = Node("cast", (logits,), {"dtype": DType.F32}, (wide,))
    return replace(step, nodes=(*step.nodes, cast), results=(wide, *step.results[1:]))


def _sample(logits: TensorType) -> Function:
    rows = logits.shape[0]
    params = (
        Value("logits", logits),
        Value("temperature", TensorType.of("f32", rows)),
        Value("seeds", TensorType.of("i64", rows)),
        Value("sample_positions", TensorType.of("i64", rows)),
    )
    tokens = Value("tokens", TensorType.of("i32", rows))
    return Function("sample", params, (Node("sample", params, {}, (tokens,)),), (tokens,))
