"""A step in flight: planned and queued, its result not yet here."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kvcache.cache import PagedCache
from ..kvcache.group_table import Slots
from .frame import I32, I64, Arrival, Frame
from .grants import Grant
from .packing import Rows, first_unscored, pack_rows, pack_tokens
from .request import Progress
from .slots import SlotTable


class Flight(NamedTuple):
    """What must be known of a step when its result comes."""

    step_id: int
    slots: Slots  # [S]
    ends: I64  # [S], positions whose keys and values are cached after it
    of_given: Slots  # those of `slots` of which it computes tokens they took their slots with
    rows: Rows


def launch(
    table: SlotTable,
    cache: PagedCache,
    step_id: int,
    grant: Grant,
    arrivals: tuple[Arrival, ...],
    masks: Mapping[int, I32],
) -> tuple[Flight, Frame]:
    """Packs the granted tokens into a step and moves the sequences on past it."""
    slots, granted = grant
    start = table.num_computed[slots]
    tokens = pack_tokens(table, slots, start, granted)
    rows = pack_rows(table, slots, tokens)
    ends = start + granted
    of_given = slots[start < table.num_given[slots]]
    table.num_computed[slots] = ends
    table.num_tokens[rows.slots[rows.chooses]] += 1
    frame = Frame(
        step_id=step_id,
        token_places=tokens.places,
        positions=tokens.positions,
        sequence_ids=tokens.sequence_ids,
        query_start=tokens.query_start,
        context_lengths=ends.astype(np.int32),
        logit_rows=rows.logit_rows,
        sample_slots=rows.slots.astype(np.int32),
        sample_positions=rows.positions,
        sample_places=rows.places,
        targets=rows.targets,
        block_tables=cache.block_tables(slots),
        arrivals=arrivals,
        masks=tuple(masks.items()),
        wants_logprobs=bool(table.wants_logprobs[rows.slots].any()),
    )
    return Flight(step_id, slots, ends, of_given, rows), frame


def progress_of(table: SlotTable, rows: Rows) -> tuple[Progress, ...]:
    """What watched sequences that live are to see of a step that has reported.

    Rows of prompts count as scored from then on: a sequence that is computed again scores none
    twice.
    """
    seen = table.is_watched[rows.slots] & table.is_alive[rows.slots]
    if not seen.any():
        return ()
    chosen = np.flatnonzero(seen & rows.chooses).tolist()
    progress = [Progress(table.request_id(int(rows.slots[row])), row, 1, False) for row in chosen]
    if table.num_unscored[rows.slots].any():
        progress = [*_scored(table, rows, seen), *progress]
    return tuple(progress)


def _scored(table: SlotTable, rows: Rows, seen: NDArray[np.bool_]) -> Iterator[Progress]:
    first = first_unscored(table, rows.slots) + 1  # the first position that is still wanted
    is_scored = seen & (rows.positions >= first) & (rows.positions < table.num_prompt[rows.slots])
    for slot in dict.fromkeys(rows.slots[is_scored].tolist()):
        own = np.flatnonzero(is_scored & (rows.slots == slot))
        table.num_unscored[slot] -= len(own)
        yield Progress(table.request_id(slot), int(own[0]), len(own), True)
