"""The paged cache of a model: one set of pages and block tables for each cache group.

It keeps the books; the memory itself belongs to the executor. All groups grow together: a sequence
holds its tokens in every group or in none.
"""

from collections.abc import Sequence

from ..artifact import CacheGroup
from .group_table import Counts, GroupTable, Slots
from .pages import Pages


class PagedCache:
    """Pages and block tables for `max_num_seqs` sequence slots."""

    def __init__(
        self,
        groups: Sequence[CacheGroup],
        num_pages: Sequence[int],
        max_num_seqs: int,
        table_width: int,
    ) -> None:
        self.groups = tuple(
            GroupTable(count, group.page_size_tokens, max_num_seqs, table_width)
            for group, count in zip(groups, num_pages, strict=True)
        )

    def reserve(self, slots: Slots, num_tokens: Counts) -> bool:
        """Gives each slot the pages to hold `num_tokens` tokens in all.

        False, and nothing is changed, if any group has too few free pages.
        """
        missing = [group.missing(slots, num_tokens) for group in self.groups]
        for group, counts in zip(self.groups, missing, strict=True):
            if counts.sum() > group.pool.num_free:
                return False
        for group, counts in zip(self.groups, missing, strict=True):
            group.extend(slots, counts)
        return True

    def has_room_for(self, num_tokens: int) -> bool:
        """Whether a sequence that holds nothing yet could get pages for `num_tokens` tokens."""
        return all(
            -(-num_tokens // group.page_size_tokens) <= group.pool.num_free for group in self.groups
        )

    def release(self, slot: int) -> None:
        """Gives back every page of a slot, in every group."""
        for group in self.groups:
            group.release(slot)

    def block_tables(self, slots: Slots) -> tuple[Pages, ...]:
        """For each group i32[S, P], a copy; P is the most pages that any of the slots holds."""
        width = max(1, *(int(group.num_held[slots].max()) for group in self.groups))
        return tuple(group.block_table[:, :width][slots] for group in self.groups)

    def num_free_pages(self) -> tuple[int, ...]:
        """The free pages of each group."""
        return tuple(group.pool.num_free for group in self.groups)

    def check_integrity(self) -> None:
        """Asserts that no page of any group is lost, shared or handed out as the null page."""
        for group in self.groups:
            group.check_integrity()
