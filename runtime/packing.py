"""Packs the granted tokens of several sequences into one step's frame."""

from typing import NamedTuple

import numpy as np

from ..kvcache.cache import PagedCache
from ..kvcache.group_table import Slots
from .frame import I32, I64, Frame, SamplingFrame
from .slots import SlotTable


class _Tokens(NamedTuple):
    """Where each packed token comes from."""

    positions: I32  # [T]
    sequence_ids: I32  # [T]
    query_start: I32  # [S+1]


def pack_step(
    table: SlotTable, cache: PagedCache, slots: Slots, granted: I64
) -> tuple[Frame, SamplingFrame, Slots]:
    """The frame of `granted[i]` next tokens of `slots[i]`, how to sample it, and for which slots.

    A sequence gets a row of logits when the step reaches its last known token.
    """
    start = table.num_computed[slots]
    end = start + granted
    tokens = _tokens(table, start, granted)
    is_last = end == table.num_tokens[slots]
    logit_rows = tokens.query_start[1:][is_last] - 1
    sampled_slots = slots if len(logit_rows) == len(slots) else slots[is_last]
    frame = Frame(
        token_ids=table.token_ids[slots[tokens.sequence_ids], tokens.positions],
        positions=tokens.positions,
        sequence_ids=tokens.sequence_ids,
        query_start=tokens.query_start,
        context_lengths=end.astype(np.int32),
        logit_rows=logit_rows,
        block_tables=cache.block_tables(slots),
    )
    return frame, _sampling(table, sampled_slots), sampled_slots


def _tokens(table: SlotTable, start: I64, granted: I64) -> _Tokens:
    num_seqs, total = len(granted), int(granted.sum())
    if total == num_seqs:  # one token each, as when all decode
        counting = table.counting[: num_seqs + 1]
        return _Tokens(start.astype(np.int32), counting[:-1], counting)
    query_start = np.zeros(num_seqs + 1, np.int32)
    np.cumsum(granted, out=query_start[1:])
    sequence_ids = np.repeat(np.arange(num_seqs, dtype=np.int32), granted)
    offsets = np.repeat((start - query_start[:-1]).astype(np.int32), granted)
    return _Tokens(np.arange(total, dtype=np.int32) + offsets, sequence_ids, query_start)


def _sampling(table: SlotTable, slots: Slots) -> SamplingFrame:
    return SamplingFrame(
        temperature=table.temperature[slots],
        seeds=table.seed[slots],
        sample_positions=table.num_tokens[slots],
    )
