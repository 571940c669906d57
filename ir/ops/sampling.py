"""Sampling ops: a row of logits each, by the tables that hold how a slot's sequence is sampled.

R rows, N slots, V tokens in the vocabulary, L entries of the token table. Row r belongs to slot
``sample_slots[r]``; its token has position ``sample_positions[r]`` in the sequence and place
``sample_places[r]`` in the table. `sampling_reference` says what each op does to a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..types import DType, TensorType
from .base import Attrs, Kind, OpRecord, flops_per_operand, no_flops, register
from .sampling_reference import NUM_TOP, adjust, logprobs, restrict, sample, write

Types = tuple[TensorType, ...]

RESULTS: Mapping[str, tuple[str, ...]] = {
    "adjust_logits": ("adjusted",),
    "restrict_logits": ("scores",),
    "sample": ("tokens",),
    "token_logprobs": ("chosen_logprobs", "ranks", "top_token_ids", "top_logprobs"),
    "write_tokens": ("new_token_table",),
}
"""The sampling ops in order, with names for their results: by such a name another takes them."""

MAX_EDITS, MAX_PREFIX_TOKENS = 1024, 2048
"""Of one sequence; the prefix tokens are those of all its edits."""


def slot_tables(vocab_size: int) -> dict[str, TensorType]:
    """How the sequence in each of N slots is sampled, by the operand names of the ops."""
    of, words = TensorType.of, -(-vocab_size // 32)
    penalties = ("repetition_penalty", "presence_penalty", "frequency_penalty")
    return dict.fromkeys(("temperature", "top_p", "min_p", *penalties), of("f32", "N")) | {
        "top_k": of("i32", "N"),
        "seeds": of("i64", "N"),
        "num_prompt_tokens": of("i32", "N"),
        "num_edits": of("i32", "N"),
        "edit_tokens": of("i32", "N", MAX_EDITS),
        "edit_values": of("f32", "N", MAX_EDITS),
        "edit_ends": of("i32", "N", MAX_EDITS),
        "edit_prefix_starts": of("i32", "N", MAX_EDITS + 1),
        "edit_prefixes": of("i32", "N", MAX_PREFIX_TOKENS),
        "has_mask": of("i32", "N"),
        "masks": of("i32", "N", words),
        "num_logprobs": of("i32", "N"),
        "num_prompt_logprobs": of("i32", "N"),
    }


def _infer_logits(types: Sequence[TensorType], _: Attrs) -> Types:
    assert types[0].rank == 2 and types[0].dtype is DType.F32, f"logits {types[0]}"
    return (types[0],)


def _infer_sample(types: Sequence[TensorType], _: Attrs) -> Types:
    return (TensorType((types[0].shape[0],), DType.I32),)


def _infer_logprobs(types: Sequence[TensorType], _: Attrs) -> Types:
    rows, of = types[0].shape[0], TensorType.of
    return (of("f32", rows), of("i32", rows), of("i32", rows, NUM_TOP), of("f32", rows, NUM_TOP))


def _infer_write(types: Sequence[TensorType], _: Attrs) -> Types:
    assert types[0].rank == 1 and types[0].dtype is DType.I32, f"token table {types[0]}"
    return (types[0],)


register(
    OpRecord(
        "adjust_logits",
        "logits[R, V] as the request wants them: those its mask forbids become minus infinity, its"
        " edits are added, then repetition, frequency and presence penalties of the tokens that the"
        " token table holds before the row's place",
        Kind.ANCHOR,
        (
            *("logits", "sample_slots", "sample_positions", "sample_places", "token_table"),
            *("num_prompt_tokens", "repetition_penalty", "presence_penalty", "frequency_penalty"),
            *("num_edits", "edit_tokens", "edit_values", "edit_ends", "edit_prefix_starts"),
            *("edit_prefixes", "has_mask", "masks"),
        ),
        _infer_logits,
        adjust,
        flops_per_operand(4.0),
    )
)
register(
    OpRecord(
        "restrict_logits",
        "scores[R, V]: adjusted / temperature, minus infinity outside of the sets of top-k, top-p"
        " and min-p, which keep equal scores together; at temperature 0 adjusted itself",
        Kind.ANCHOR,
        ("adjusted", "sample_slots", "temperature", "top_k", "top_p", "min_p"),
        _infer_logits,
        restrict,
        flops_per_operand(8.0),
    )
)
register(
    OpRecord(
        "sample",
        "a token for each row: -1 where a raw logit of logits[R, V] is not finite; else its target"
        " if that is not negative; else the place of the largest of scores[R, V] at temperature 0,"
        " above it a draw from their softmax by noise that depends on (seed, position) alone: of a"
        " span of 1024 places, then of a place in it. Ties go to the lowest place; -1 where all is"
        " minus infinity",
        Kind.ANCHOR,
        (
            *("logits", "scores", "sample_slots", "temperature", "seeds", "sample_positions"),
            "targets",
        ),
        _infer_sample,
        sample,
        flops_per_operand(4.0),
    )
)
register(
    OpRecord(
        "token_logprobs",
        "logprobs of tokens[R] under the softmax of the raw logits[R, V], their ranks from 1, and"
        " the ids and logprobs of the 20 most probable; of rows with a target where"
        " num_prompt_logprobs is not negative, of others where num_logprobs is not. Rows of token"
        " -1 and rows that want none may hold anything; a vocabulary below 20 is filled up with -1",
        Kind.ANCHOR,
        (
            *("logits", "tokens", "targets", "sample_slots"),
            *("num_logprobs", "num_prompt_logprobs"),
        ),
        _infer_logprobs,
        logprobs,
        flops_per_operand(4.0),
    )
)
register(
    OpRecord(
        "write_tokens",
        "put each row's token, or its target if that is not negative, at its place of the token"
        " table; 0 for a token of -1, so that what reads it stays in bounds",
        Kind.ANCHOR,
        ("token_table", "tokens", "targets", "sample_places"),
        _infer_write,
        write,
        no_flops,
        writes=("token_table",),
    )
)
