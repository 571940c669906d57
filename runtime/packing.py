"""Packs the granted tokens of several sequences into one step's frame."""

import numpy as np

from ..kvcache.cache import PagedCache
from ..kvcache.group_table import Slots
from .frame import I32, I64, Frame, SamplingFrame
from .slots import SlotTable


def pack_step(
    table: SlotTable, cache: PagedCache, slots: Slots, granted: I64
) -> tuple[Frame, SamplingFrame, Slots]:
    """The frame of `granted[i]` next tokens of `slots[i]`, how to sample it, and for which slots.

    A sequence gets a row of logits when the step reaches its last known token.
    """
    start = table.num_computed[slots]
    end = start + granted
    query_start = np.zeros(len(slots) + 1, np.int32)
    np.cumsum(granted, out=query_start[1:])
    sequence_ids = np.repeat(np.arange(len(slots), dtype=np.int32), granted)
    positions = _positions(start, granted, query_start)
    samples = np.flatnonzero(end == table.num_tokens[slots])
    frame = Frame(
        token_ids=table.token_ids[slots[sequence_ids], positions],
        positions=positions,
        sequence_ids=sequence_ids,
        query_start=query_start,
        context_lengths=end.astype(np.int32),
        logit_rows=query_start[1:][samples] - 1,
        block_tables=cache.block_tables(slots),
    )
    sampled_slots = slots[samples]
    return frame, _sampling(table, sampled_slots), sampled_slots


def _positions(start: I64, granted: I64, query_start: I32) -> I32:
    total = int(query_start[-1])
    if total == len(granted):  # a pure decode step: one token each
        return start.astype(np.int32)
    offsets = np.repeat((start - query_start[:-1]).astype(np.int32), granted)
    return np.arange(total, dtype=np.int32) + offsets


def _sampling(table: SlotTable, slots: Slots) -> SamplingFrame:
    return SamplingFrame(
        temperature=table.temperature[slots],
        seeds=table.seed[slots],
        sample_positions=table.num_tokens[slots],
    )
