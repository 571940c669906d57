"""Frames made by hand: any tokens of any sequences, packed; sequence i sits in slot i."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..runtime.frame import I32, Arrival, Frame, Sampling


def packed_frame(
    sequences: Sequence[list[int]],
    spans: Sequence[range],
    block_tables: tuple[I32, ...],
    max_model_len: int,
    rows: Sequence[int] | None = None,
    samplings: Sequence[Sampling] | None = None,
    **fields: Any,
) -> Frame:
    """A step over the positions `spans[i]` of each sequence, with a row of logits for each of
    `rows`, by default for all. Every sequence arrives anew; the token after a row is its target
    where the sequence has one."""
    counts = [len(span) for span in spans]
    owners = np.repeat(np.arange(len(counts)), counts)
    positions = np.array([p for span in spans for p in span], np.int64)
    chosen = np.arange(len(positions)) if rows is None else np.array(rows, np.int64)
    after = positions[chosen] + 1
    lengths = [len(sequence) for sequence in sequences]
    pairs = zip(owners[chosen], after, strict=True)
    return Frame(
        step_id=fields.pop("step_id", 0),
        token_places=i32(owners * max_model_len + positions),
        positions=i32(positions),
        sequence_ids=i32(owners),
        query_start=i32([0, *np.cumsum(counts)]),
        context_lengths=i32([span.stop for span in spans]),
        logit_rows=i32(chosen),
        sample_slots=i32(owners[chosen]),
        sample_positions=after,
        sample_places=i32(owners[chosen] * max_model_len + after),
        targets=i32([sequences[s][p] if p < lengths[s] else -1 for s, p in pairs]),
        block_tables=block_tables,
        arrivals=_arrivals(sequences, samplings or [Sampling()] * len(counts), max_model_len),
        **fields,
    )


def i32(values: Any) -> I32:
    """An array of them."""
    return np.ascontiguousarray(values, np.int32)


def _arrivals(
    sequences: Sequence[list[int]], samplings: Sequence[Sampling], max_model_len: int
) -> tuple[Arrival, ...]:
    return tuple(
        Arrival(slot, slot * max_model_len, i32(token_ids), len(token_ids), sampling)
        for slot, (token_ids, sampling) in enumerate(zip(sequences, samplings, strict=True))
    )
