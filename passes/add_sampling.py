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

    entry @sample(%logits: f32[R, 32], %sample_slots: i32[R], %sample_positions: i64[R],
                  %sample_places: i32[R], %token_table: i32[L], %num_prompt_tokens: i32[N],
                  %repetition_penalty: f32[N], %presence_penalty: f32[N],
                  %frequency_penalty: f32[N], %num_edits: i32[N], %edit_tokens: i32[N, 1024],
                  %edit_values: f32[N, 1024], %edit_ends: i32[N, 1024],
                  %edit_prefix_starts: i32[N, 1025], %edit_prefixes: i32[N, 2048],
                  %has_mask: i32[N], %masks: i32[N, 1], %temperature: f32[N], %top_k: i32[N],
                  %top_p: f32[N], %min_p: f32[N], %seeds: i64[N], %targets: i32[R],
                  %num_logprobs: i32[N], %num_prompt_logprobs: i32[N]) {
      %adjusted: f32[R, 32] = adjust_logits(%logits, %sample_slots, %sample_positions,
        %sample_places, %token_table, %num_prompt_tokens, %repetition_penalty, %presence_penalty,
        %frequency_penalty, %num_edits, %edit_tokens, %edit_values, %edit_ends,
        %edit_prefix_starts, %edit_prefixes, %has_mask, %masks)
      %scores: f32[R, 32] = restrict_logits(%adjusted, %sample_slots, %temperature, %top_k,
        %top_p, %min_p)
      %tokens: i32[R] = sample(%logits, %scores, %sample_slots, %temperature, %seeds,
        %sample_positions, %targets)
      %chosen_logprobs: f32[R], %ranks: i32[R], %top_token_ids: i32[R, 20],
        %top_logprobs: f32[R, 20] = token_logprobs(%logits, %tokens, %targets, %sample_slots,
        %num_logprobs, %num_prompt_logprobs)
      %new_token_table: i32[L] = write_tokens(%token_table, %tokens, %targets, %sample_places)
      return %tokens, %chosen_logprobs, %ranks, %top_token_ids, %top_logprobs, %new_token_table
    }

Requires: the first result of @step is logits [R, V].
Keeps: the step apart from sampling, whose parameters are rows of the step (R) and what is kept for
each slot (N, and L for the token table). The token table is written in place.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Function, Module, Names, Node, Value
from ..ir.ops import record_of
from ..ir.ops.sampling import RESULTS, slot_tables
from ..ir.types import DType, TensorType
from .feed_tokens import TOKEN_TABLE

RETURNED = ("tokens", *RESULTS["token_logprobs"], *RESULTS["write_tokens"])


def add_sampling(module: Module) -> tuple[Module, int]:
    """Add @sample unless the module has it."""
    if "sample" in module.functions or "step" not in module.functions:
        return module, 0
    step = _with_f32_logits(module.functions["step"])
    module = module.with_functions(step, sampling_function(step.results[0].type))
    return replace(module, entries=(*module.entries, "sample")), 1


def _with_f32_logits(step: Function) -> Function:
    logits = step.results[0]
    if logits.dtype is DType.F32:
        return step
    wide = Value(Names(step).fresh(f"{logits.name}_f32"), logits.type.with_dtype("f32"))
    cast = Node("cast", (logits,), {"dtype": DType.F32}, (wide,))
    return replace(step, nodes=(*step.nodes, cast), results=(wide, *step.results[1:]))


def sampling_function(logits: TensorType) -> Function:
    """@sample for ``logits`` f32[R, V]: a token for each row, into the token table."""
    values = {name: Value(name, type) for name, type in _inputs(logits).items()}
    params: dict[Value, None] = {}
    nodes = []
    for op, names in RESULTS.items():
        operands = tuple(values[name] for name in record_of(op).operands)
        params |= dict.fromkeys(operands)
        types = record_of(op).infer([value.type for value in operands], {})
        results = tuple(map(Value, names, types))
        values |= dict(zip(names, results, strict=True))
        nodes.append(Node(op, operands, {}, results))
    made = {value for node in nodes for value in node.results}
    taken = tuple(value for value in params if value not in made)
    return Function("sample", taken, tuple(nodes), tuple(values[name] for name in RETURNED))


def _inputs(logits: TensorType) -> dict[str, TensorType]:
    """All that the ops may take from outside, by name."""
    rows, vocab_size = logits.shape
    of_rows = dict.fromkeys(
        ("sample_slots", "sample_places", "targets"), TensorType.of("i32", rows)
    )
    return {
        "logits": logits,
        "sample_positions": TensorType.of("i64", rows),
        TOKEN_TABLE.name: TOKEN_TABLE.type,
        **of_rows,
        **slot_tables(int(vocab_size)),
    }
