"""Let the step read its token ids from the token table, which the device keeps from step to step.

Before:
    module level=paged

    entry @step(%token_ids: i32[T], %table: f32[32, 8]) {
      %h: f32[T, 8] = gather_rows(%table, %token_ids)
      return %h
    }

After:
    module level=paged

    entry @step(%token_table: i32[L], %token_places: i32[T], %table: f32[32, 8]) {
      %token_ids: i32[T] = gather_rows(%token_table, %token_places)
      %h: f32[T, 8] = gather_rows(%table, %token_ids)
      return %h
    }

Requires: nothing.
Keeps: the other parameters and all results. A token that one step samples can so feed the next
without passing through the host.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Function, Module, Node, Value
from ..ir.types import TensorType

TOKEN_TABLE = Value("token_table", TensorType.of("i32", "L"))
"""The token ids of the sequences in all slots, which @step reads and @sample writes."""


def feed_tokens(module: Module) -> tuple[Module, int]:
    """Replace @step's parameter ``token_ids`` by the table and the tokens' places in it."""
    step = module.functions.get("step")
    token_ids = next((v for v in step.params if v.name == "token_ids"), None) if step else None
    if step is None or token_ids is None:
        return module, 0
    return module.with_functions(_fed(step, token_ids)), 1


def _fed(step: Function, token_ids: Value) -> Function:
    source = (TOKEN_TABLE, Value("token_places", token_ids.type))
    at = step.params.index(token_ids)
    params = (*step.params[:at], *source, *step.params[at + 1 :])
    gather = Node("gather_rows", source, {}, (token_ids,))
    return replace(step, params=params, nodes=(gather, *step.nodes))
