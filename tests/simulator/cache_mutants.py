"""Bugs of the cache: pages, references, windows, hashes, the index, fences."""

from tapeout.kvcache.cache import PagedCache
from tapeout.kvcache.group_table import GroupTable
from tapeout.kvcache.hashing import page_hashes
from tapeout.kvcache.page_index import PageIndex
from tapeout.kvcache.pages import PagePool
from tapeout.runtime import scheduler, sequences

from .mutants import bug


@bug("release", PagedCache, seen="C9 of the notes: abort while an asynchronous step is in flight")
def pages_are_freed_while_a_step_in_flight_names_them(release):
    """What a sequence gives back does not wait for the steps in flight."""
    return lambda cache, slot, fence: release(cache, slot, None)


@bug("settle", PagePool, seen="epoch off by one; the generation check of GHSA-v97p")
def a_fence_opens_one_step_early(settle):
    """Pages that wait for a step come back when the step before it has reported."""
    return lambda pool, step_id: settle(pool, step_id + 1)


@bug("share", PagePool, seen="SGLang's radix cache: a lock reference that is not taken")
def a_shared_page_gets_no_reference(share):
    """A sequence that begins with cached pages holds them without a reference."""

    def wrong(pool, pages):
        for page in pages:
            pool._cached.pop(page, None)
            pool.num_references[page] = max(1, pool.num_references[page])

    return wrong


@bug("share", PagePool, seen="vLLM's block pool: touch() must take a block off the free queue")
def an_attached_page_stays_in_the_queue_of_cached_ones(share):
    """A cached page that is used again can be evicted while in use."""

    def wrong(pool, pages):
        for page in pages:
            pool.num_references[page] += 1

    return wrong


@bug("release", GroupTable, seen="double free when an abort meets the end of the same request")
def pages_are_given_back_twice(release):
    """A sequence's end drops two references of each page."""

    def wrong(group, slot, end, fence):
        pages = group.pages_of(slot, end)
        release(group, slot, end, fence)
        group.pool.drop([page for page in pages if group.pool.num_references[page]], None)

    return wrong


@bug("release", PagedCache, seen="vLLM: blocks of requests aborted in prefill leaked")
def a_short_sequence_keeps_its_pages(release):
    """A sequence that ends within its first page gives nothing back."""

    def wrong(cache, slot, fence):
        if cache._end_page(slot) > 1:
            release(cache, slot, fence)

    return wrong


@bug("_evict", PagePool, seen="an eviction order that forgets who holds a page")
def eviction_takes_a_page_in_use(evict):
    """The page evicted is one that the index knows and a sequence holds, if there is any."""

    def wrong(pool):
        for page in list(pool.index._hash_of):
            if pool.num_references[page]:
                pool.index.discard(page)
                pool._free.append(page)
                return
        evict(pool)

    return wrong


@bug("_evict", PagePool, seen="a stale entry of the prefix index outlives its block")
def an_evicted_page_stays_in_the_index(evict):
    """The index still offers a page that was handed out anew."""

    def wrong(pool):
        page, _ = pool._cached.popitem(last=False)
        pool._free.append(page)

    return wrong


@bug("take", PagePool, seen="free list and table updated in the wrong order")
def a_page_is_handed_out_and_stays_free(take):
    """The last of several pages that are taken at once stays in the free list."""

    def wrong(pool, count):
        pages = take(pool, count)
        if count > 1:
            pool._free.append(pages[-1])
        return pages

    return wrong


@bug("_num_pages", PagedCache, seen="C3 of the notes: off by one at k pages and one token")
def a_page_that_holds_one_token_is_not_reserved(num_pages):
    """The first token of a page gets none."""
    return lambda cache, num_tokens: num_pages(cache, num_tokens - 1)


@bug("block_tables", PagedCache, seen="vLLM: block table rows of a reused batch index were stale")
def block_tables_are_only_renewed_with_the_batch(block_tables):
    """As long as the same slots run, they keep the tables of before."""

    def wrong(cache, slots):
        kept = cache.__dict__.setdefault("_kept", {})
        key = slots.tobytes()
        if key not in kept:
            kept.clear()
            kept[key] = block_tables(cache, slots)
        return kept[key]

    return wrong


@bug("trim", GroupTable, seen="sliding windows off by one: vLLM and SGLang both had one")
def a_window_drops_a_page_one_token_early(trim):
    """What the next token can still see is dropped."""
    return lambda group, slots, num_computed, fence: trim(group, slots, num_computed + 1, fence)


@bug("trim", PagedCache, seen="pages beyond the window were never returned until the end")
def a_window_drops_nothing(trim):
    """A window holds as many pages as if it were none."""
    return lambda cache, slots, num_computed, fence: None


@bug("hit_bound", GroupTable, seen="hybrid caches: a hit of one group was taken for all")
def a_window_is_hit_by_its_last_page_alone(hit_bound):
    """The pages before the last that the window still sees are not asked for."""

    def wrong(group, hashes, num_pages):
        if group.window is None or not num_pages:
            return hit_bound(group, hashes, num_pages)
        missing = group.pool.index.last_missing(hashes, num_pages - 1, num_pages)
        return num_pages if missing is None else missing

    return wrong


@bug("attach", GroupTable, seen="hybrid caches: what fell out of the window is part of a hit")
def a_window_hit_keeps_one_page_too_few(attach):
    """The oldest page that the window sees is left null."""

    def wrong(group, slot, hashes):
        attach(group, slot, hashes)
        first = int(group.first_token[slot]) // group.page_size_tokens
        if group.window is not None and first < len(hashes):
            group.pool.drop([int(group.block_table[slot, first])])
            group.block_table[slot, first] = 0
            group.first_token[slot] += group.page_size_tokens

    return wrong


@bug("page_hashes", scheduler, sequences, seen="a hash of a block alone, not of what led to it")
def a_hash_has_no_parent(original):
    """Equal tokens in a page mean an equal hash, whatever was before."""

    def wrong(token_ids, size, salt, previous=None):
        starts = range(0, len(token_ids) - size + 1, size)
        return [page_hashes(token_ids[start : start + size], size, salt)[0] for start in starts]

    return wrong


@bug("page_hashes", scheduler, sequences, seen="CVE-2025-46570: prefixes shared across tenants")
def a_hash_has_no_salt(original):
    """Requests of different salts share pages."""
    return lambda token_ids, size, salt, previous=None: page_hashes(token_ids, size, b"", previous)


@bug("page_hashes", scheduler, sequences, seen="vLLM #38606: adapter left out of some keys")
def the_first_page_has_no_salt(original):
    """Salt enters from the second page on."""

    def wrong(token_ids, size, salt, previous=None):
        if previous is not None:
            return page_hashes(token_ids, size, salt, previous)
        first = page_hashes(token_ids[:size], size, b"")
        return first + page_hashes(token_ids[size:], size, salt, first[0] + salt) if first else []

    return wrong


@bug("add", PageIndex, seen="two requests with one prompt at once: the later block won")
def a_later_page_takes_the_place_of_an_equal_one(add):
    """Two pages with equal tokens are both told to be the one of their hash."""

    def wrong(index, pages, hashes):
        index._page_of.update(zip(hashes, pages, strict=True))
        index._hash_of.update(zip(pages, hashes, strict=True))

    return wrong


@bug("clear", PagedCache, seen="a prefix cache that outlived the restart of its worker")
def lost_steps_keep_the_index(clear):
    """After the memory was lost its old contents are still believed."""
    return lambda cache: None


@bug("forget", PagedCache, seen="P12 of the notes: what is not a number stayed in the cache")
def a_numeric_error_leaves_pages_in_the_index(forget):
    """What a broken sequence holds can be found by others."""
    return lambda cache, slot: None
