"""Triton of what a request changes in a row of logits before they are turned into probabilities.

A row is V logits, `p_x`, written in place by the one block that has it. What some threads wrote and
others read next lies on both sides of a barrier.
"""

ADJUST = '''@triton.jit
def _product(a, b):
    """a * b, rounded before anything is added to it."""
    return (a.to(tl.float64) * b.to(tl.float64)).to(tl.float32)


@triton.jit
def _copy_allowed(p_logits, has_mask, p_words, p_x):
    """Bit v % 32 of word v // 32 allows v; minus infinity where it is not set."""
    for start in tl.range(0, V, TILE, num_stages=4):
        v = start + tl.arange(0, TILE)
        x = tl.load(p_logits + v, mask=v < V, other=0.0)
        words = tl.load(p_words + v // 32, mask=(v < V) & has_mask, other=-1)
        x = tl.where(((words >> (v % 32)) & 1) == 1, x, float("-inf"))
        tl.store(p_x + v, x, mask=v < V)
    tl.debug_barrier()


@triton.jit
def _edit(p_x, p_known, position, num_edits, p_tokens, p_values, p_ends, p_starts, p_prefixes,
          p_active):
    """Adds the values of edits whose end is to come and whose prefix the known tokens end with.

    Every edit of a token adds up all values for it, in order, so that all of them store the same.
    """
    e = tl.arange(0, MAX_EDITS)
    there = e < num_edits
    token = tl.load(p_tokens + e, mask=there, other=-1)
    end = tl.load(p_ends + e, mask=there, other=0)
    start = tl.load(p_starts + e, mask=there, other=0)
    length = tl.load(p_starts + e + 1, mask=there, other=0) - start
    active = there & (position < end) & (length <= position)
    longest = tl.max(tl.where(active, length, 0))
    for j in range(0, longest):
        compared = active & (j < length)
        wanted = tl.load(p_prefixes + start + j, mask=compared, other=0)
        known = tl.load(p_known + position - length + j, mask=compared, other=0)
        active = active & (wanted == known)
    tl.store(p_active + e, tl.where(active, token, -1).to(tl.int64))
    x = tl.load(p_x + token, mask=active, other=0.0)
    tl.debug_barrier()
    for other in range(0, num_edits):
        value = tl.load(p_values + other)
        x = tl.where(token == tl.load(p_active + other), x + value, x)
    tl.store(p_x + token, x, mask=active)
    tl.debug_barrier()


@triton.jit
def _penalize(p_x, p_known, position, num_prompt_tokens, repetition, presence, frequency, p_counts):
    """Once for each token that occurs: which of its places does it, does not matter."""
    for start in range(0, position, TILE):
        i = start + tl.arange(0, TILE)
        token = tl.load(p_known + i, mask=i < position, other=0)
        tl.store(p_counts + token, tl.full([TILE], SEEN, tl.int32), mask=i < position)
    tl.debug_barrier()
    for start in range(num_prompt_tokens, position, TILE):
        i = start + tl.arange(0, TILE)
        token = tl.load(p_known + i, mask=i < position, other=0)
        tl.atomic_add(p_counts + token, 1, mask=i < position, sem="relaxed")
    tl.debug_barrier()
    for start in range(0, position, TILE):
        i = start + tl.arange(0, TILE)
        token = tl.load(p_known + i, mask=i < position, other=0)
        count = tl.atomic_xchg(p_counts + token, 0, mask=i < position, sem="relaxed") - SEEN
        mine = (i < position) & (count >= 0)
        x = tl.load(p_x + token, mask=mine, other=0.0)
        x = tl.where(x > 0, tl.div_rn(x, repetition), _product(x, repetition))
        x = x - _product(count, frequency)
        x = x - tl.where(count > 0, presence, 0.0)
        tl.store(p_x + token, x, mask=mine)
    tl.debug_barrier()
'''
