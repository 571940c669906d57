"""Packs the granted tokens of several sequences into one step's frame."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kvcache.group_table import Slots
from .frame import I32, I64
from .slots import SlotTable

_CHOOSE = -1  # a target that is not known yet


class Tokens(NamedTuple):
    """The packed tokens of a step."""

    places: I32  # [T], in the token table
    positions: I32  # [T]
    sequence_ids: I32  # [T]
    query_start: I32  # [S + 1]


class Rows(NamedTuple):
    """The rows of logits of a step: one at the end of each sequence's tokens, and any before it
    whose next token, of the prompt, wants its logprob."""

    logit_rows: I32  # [R]
    slots: Slots  # [R]
    positions: I64  # [R], of the token that each row chooses
    places: I32  # [R], of it in the token table
    targets: I32  # [R], it, where it is known
    chooses: NDArray[np.bool_]  # [R], whether it is not


def pack_tokens(table: SlotTable, slots: Slots, start: I64, granted: I64) -> Tokens:
    """`granted[i]` tokens from position `start[i]` of `slots[i]`, one sequence after the other."""
    num_seqs, total = len(granted), int(granted.sum())
    first_places = slots * table.max_model_len
    if total == num_seqs:  # one token each, as when all decode
        counting = table.counting[: num_seqs + 1]
        places = (first_places + start).astype(np.int32)
        return Tokens(places, start.astype(np.int32), counting[:-1], counting)
    query_start = np.zeros(num_seqs + 1, np.int32)
    granted.cumsum(out=query_start[1:])
    sequence_ids = np.arange(num_seqs, dtype=np.int32).repeat(granted)
    offsets = (start - query_start[:-1]).astype(np.int32).repeat(granted)
    positions = np.arange(total, dtype=np.int32) + offsets
    places = first_places.astype(np.int32).repeat(granted) + positions
    return Tokens(places, positions, sequence_ids, query_start)


def pack_rows(table: SlotTable, slots: Slots, tokens: Tokens) -> Rows:
    """The rows of a step over the packed tokens of `slots`."""
    logit_rows = tokens.query_start[1:] - 1
    row_slots = slots
    if table.num_unscored[slots].any():
        logit_rows = _with_scored(table, slots, tokens, logit_rows)
        row_slots = slots[tokens.sequence_ids[logit_rows]]
    positions = tokens.positions[logit_rows].astype(np.int64) + 1
    chooses = positions == table.num_tokens[row_slots]
    targets = np.full(len(logit_rows), _CHOOSE, np.int32)
    if not chooses.all():
        known = ~chooses
        targets[known] = table.token_ids[row_slots[known], positions[known]]
    places = (row_slots * table.max_model_len + positions).astype(np.int32)
    return Rows(logit_rows, row_slots, positions, places, targets, chooses)


def first_unscored(table: SlotTable, slots: Slots | int) -> I64:
    """The first position of each slot whose row gives a logprob that is still wanted."""
    return table.num_prompt[slots] - 1 - table.num_unscored[slots]


def _with_scored(table: SlotTable, slots: Slots, tokens: Tokens, last_rows: I32) -> I32:
    """`last_rows`, and before each those of prompt tokens whose next one wants its logprob."""
    first = first_unscored(table, slots)[tokens.sequence_ids]
    end = table.num_prompt[slots][tokens.sequence_ids] - 1
    is_row = (tokens.positions >= first) & (tokens.positions < end)
    is_row[last_rows] = True
    return np.flatnonzero(is_row).astype(np.int32)
