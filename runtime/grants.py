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
        if table.num_unscored[slots].any():
            granted = self._limit_rows(table, slots, granted)
        gets = granted > 0
        self.num_tokens -= int(granted.sum())
        self.num_rows -= int(gets.sum())
        return (slots, granted) if gets.all() else (slots[gets], granted[gets])

    def _limit_rows(self, table: SlotTable, slots: Slots, granted: I64) -> I64:
        """A row for each sequence is set aside; what is left goes to prompts that want logprobs."""
        granted = granted.copy()
        spare = self.num_rows - int((granted > 0).sum())
        unscored = first_unscored(table, slots) - table.num_computed[slots]
        for i in np.flatnonzero(table.num_unscored[slots]).tolist():
            free = max(int(unscored[i]), 0) + 1  # tokens that need no row but the last one's
            granted[i] = min(int(granted[i]), free + spare)
            spare -= max(int(granted[i]) - free, 0)
        self.num_rows -= max(self.num_rows - int((granted > 0).sum()) - spare, 0)
        return granted


def longest_first(table: SlotTable, grant: Grant) -> Grant:
    """The same tokens, with the longest contexts first: they take a device the longest, and it
    would end a step with a few of them alone."""
    slots, granted = grant
    order = np.argsort(-table.num_computed[slots], kind="stable")
    return slots[order], granted[order]
