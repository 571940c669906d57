"""How the tokens and rows of a step are shared out."""

import numpy as np

from ..kvcache.group_table import Slots
from .frame import I64
from .packing import first_unscored
from .slots import SlotTable

Grant = tuple[Slots, I64]  # slots, and the next tokens of each

_NO_TOKENS: I64 = np.zeros(0, np.int64)


class Budget:
    """The tokens and rows of logits that a step has left."""

    def __init__(self, num_tokens: int, num_rows: int) -> None:
        self.num_tokens, self.num_rows = num_tokens, num_rows

    @property
    def has_some(self) -> bool:
        """Whether there is something for one more sequence."""
        return self.num_tokens > 0 and self.num_rows > 0

    def share(self, table: SlotTable, running: Slots) -> Grant:
        """Sequences that decode come first, then prompts, both from the best rank on."""
        if len(running) == 0:
            return running, _NO_TOKENS
        slots, wanted = running, table.remaining(running)
        if not (wanted == 1).all():
            order = np.argsort(wanted > 1, kind="stable")
            order = order[wanted[order] > 0]
            slots, wanted = slots[order], wanted[order]
        before = wanted.cumsum() - wanted
        granted = np.minimum(np.maximum(self.num_tokens - before, 0), wanted)
        gets = granted > 0
        self.num_rows -= int(gets.sum())
        if table.num_unscored[slots].any():
            for i in np.flatnonzero(table.num_unscored[slots]).tolist():
                granted[i] = self._limit_rows(table, int(slots[i]), int(granted[i]))
        self.num_tokens -= int(granted.sum())
        return (slots, granted) if gets.all() else (slots[gets], granted[gets])

    def take(self, table: SlotTable, slot: int, wanted: int) -> int:
        """How many tokens one more sequence gets of those that it wants."""
        granted = min(wanted, self.num_tokens)
        self.num_rows -= 1
        if table.num_unscored[slot]:
            granted = self._limit_rows(table, slot, granted)
        self.num_tokens -= granted
        return granted

    def _limit_rows(self, table: SlotTable, slot: int, granted: int) -> int:
        """Prompts that want logprobs take the rows that are left when each sequence has one."""
        unscored = int(first_unscored(table, slot) - table.num_computed[slot])
        free = max(unscored, 0) + 1  # tokens that need no row but the last one's
        granted = min(granted, free + self.num_rows)
        self.num_rows -= max(granted - free, 0)
        return granted


def longest_first(table: SlotTable, grant: Grant) -> Grant:
    """The same tokens, with the longest contexts first: they take a device the longest, and it
    would end a step with a few of them alone."""
    slots, granted = grant
    order = np.argsort(-table.num_computed[slots], kind="stable")
    return slots[order], granted[order]
