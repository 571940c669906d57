"""What must hold of every frame, and of the pages it touches while others are in flight."""

import numpy as np

from tapeout.runtime.frame import I32, Frame

from .trace import Config
from .violation import check, every, same

_NOBODY = -1


class Pages:
    """Whose the pages of a group are, as the frames tell it."""

    def __init__(self, num_pages: int) -> None:
        self.owner = np.full(num_pages, _NOBODY)  # the life that writes it
        self.num_written = np.zeros(num_pages, np.int64)
        self.written_in = np.full(num_pages, _NOBODY)  # step
        self.seen_in = np.full(num_pages, _NOBODY)  # step


class FrameChecks:
    """Follows slots and pages over the steps. A life is a sequence's stay in a slot."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.num_lives = 0
        self.next_step_id = 0
        self.lose()

    def lose(self) -> None:
        """The executor has forgotten everything, and nothing is in flight."""
        config = self.config
        self.life = np.full(config.max_num_seqs, _NOBODY)
        self.length = np.zeros(config.max_num_seqs, np.int64)
        self.used_in = np.full(config.max_num_seqs, _NOBODY)
        self.groups = [Pages(count) for count in config.num_pages]
        self.reported = self.next_step_id - 1

    def check(self, frame: Frame) -> None:
        """Checks a planned step; `reported` is the last step that the scheduler knows of."""
        slots = self._check_shape(frame)
        start = frame.positions[frame.query_start[:-1]].astype(np.int64)
        self._arrive(frame, slots, start)
        check(every(start == self.length[slots]), "tokens are left out or computed twice")
        self.length[slots] = frame.context_lengths
        self.used_in[slots] = frame.step_id
        lives = self.life[slots]
        for group, table in enumerate(frame.block_tables):
            self._write(group, frame, table, lives, start)

    def _check_shape(self, frame: Frame) -> np.ndarray:
        config, (num_tokens, num_seqs, num_rows, width) = self.config, frame.dims
        check(frame.step_id == self.next_step_id, "step", frame.step_id, "is out of order")
        self.next_step_id += 1
        check(0 < num_tokens <= config.max_num_batched_tokens, num_tokens, "tokens in a step")
        check(0 < num_seqs <= config.max_num_seqs, num_seqs, "sequences in a step")
        limit = config.max_logit_rows or num_tokens
        check(num_seqs <= num_rows <= limit, num_rows, "rows of logits, not", num_seqs, limit)
        size = config.page_size_tokens
        check(width <= -(-config.max_model_len // size), width, "columns in block tables")
        counts = frame.query_start[1:] - frame.query_start[:-1]
        ids = np.repeat(np.arange(num_seqs), counts) if every(counts > 0) else None
        check(ids is not None and frame.query_start[0] == 0, "query_start", frame.query_start)
        check(same(ids, frame.sequence_ids), "sequence_ids", frame.sequence_ids)
        first = frame.query_start[:-1]
        last = frame.query_start[1:] - 1
        steady = frame.positions - np.arange(num_tokens) == (frame.positions[first] - first)[ids]
        check(every(steady), "positions", frame.positions)
        check(every(frame.positions[last] + 1 == frame.context_lengths), "context_lengths")
        slots = frame.token_places[first] // config.max_model_len
        places = slots[ids] * config.max_model_len + frame.positions
        check(same(places, frame.token_places), "token_places", frame.token_places)
        check(len(set(slots.tolist())) == num_seqs, "a slot comes twice in a step", slots)
        self._check_rows(frame, slots, last)
        return slots

    def _check_rows(self, frame: Frame, slots: np.ndarray, last: np.ndarray) -> None:
        rows = frame.logit_rows
        check(len(rows) == 1 or every(rows[1:] > rows[:-1]), "logit_rows", rows)
        check(set(last.tolist()) <= set(rows.tolist()), "a sequence's end has no row")
        row_slots = slots[frame.sequence_ids[rows]]
        check(same(row_slots, frame.sample_slots), "sample_slots", frame.sample_slots)
        positions = frame.positions[rows] + 1
        check(same(positions, frame.sample_positions), "sample_positions")
        limit = self.config.max_model_len
        check(every(positions < limit), "a token is sampled past the longest sequence")
        places = row_slots * limit + positions
        check(same(places, frame.sample_places), "sample_places", frame.sample_places)

    def _arrive(self, frame: Frame, slots: np.ndarray, start: np.ndarray) -> None:
        here = dict(zip(slots.tolist(), start.tolist(), strict=True))
        for arrival in frame.arrivals:
            slot = arrival.slot
            check(slot in here, f"who arrives in slot {slot} computes nothing")
            check(self.used_in[slot] <= self.reported, f"slot {slot} is named by a step in flight")
            check(arrival.first_place == slot * self.config.max_model_len, "first_place")
            self.life[slot] = self.num_lives
            self.num_lives += 1
            self.length[slot] = here[slot]
            row = slots.tolist().index(slot)
            for group, table in enumerate(frame.block_tables):
                self._attach(group, table[row], here[slot])
        check(every(self.life[slots] != _NOBODY), "a sequence never arrived")

    def _attach(self, group: int, table: I32, num_cached: int) -> None:
        """A sequence that comes may see what others wrote if a reported step completed it."""
        pages, size = self.groups[group], self.config.page_size_tokens
        window = self.config.windows[group]
        first = 0 if window is None else max(0, num_cached - window + 1) // size
        check(num_cached % size == 0, "part of a page is shared")
        shared = table[first : num_cached // size]
        check(every(shared > 0), "a page that was found is null")
        check(every(pages.num_written[shared] == size), "a page is shared before it is full")
        check(every(pages.written_in[shared] <= self.reported), "a page is shared too early")

    def _write(self, g: int, frame: Frame, table: I32, lives: np.ndarray, start: np.ndarray):
        pages, size = self.groups[g], self.config.page_size_tokens
        offsets = frame.positions % size
        written = table[frame.sequence_ids, frame.positions // size]
        writers = lives[frame.sequence_ids]
        check(every(written > 0), "a token is written to the null page")
        times_seen = np.bincount(table.ravel(), minlength=len(pages.owner))
        check(every(times_seen[written] == 1), "a page that another sequence sees is written")
        first = offsets == 0
        new = written[first]
        in_flight = pages.seen_in[new] > self.reported
        check(
            not np.count_nonzero(in_flight),
            "a page of a step in flight is given away",
            new[in_flight],
        )
        pages.owner[new] = writers[first]
        pages.num_written[new] = 0
        check(every(pages.owner[written] == writers), "a foreign page is written")
        begun = written[frame.query_start[:-1]]
        check(every(pages.num_written[begun] == start % size), "a page is written out of order")
        pages.num_written[written] = offsets + 1
        pages.written_in[written] = frame.step_id
        pages.seen_in[self._seen(g, table, start)] = frame.step_id

    def _seen(self, g: int, table: I32, start: np.ndarray) -> I32:
        """The pages that a sequence's tokens from `start` on can see."""
        window = self.config.windows[g]
        if window is None:
            return table
        first = np.maximum(start - window + 1, 0) // self.config.page_size_tokens
        return table[np.arange(table.shape[1]) >= first[:, None]]
