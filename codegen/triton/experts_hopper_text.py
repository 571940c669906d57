"""Texts of the kernels around products of routed experts by blocks that stay.

`pairs` are (token, choice), numbered token by token. `w_groups` says how many groups there are,
then of each its expert, its first row, and where its expert's rows end. `w_counts` has a row of
experts for each chunk of tokens: how often they are chosen there.
"""

COUNT = '''@triton.jit
def NAME(p_indices, w_counts, num_pairs):
    """DOC"""
    p = tl.arange(0, {padded_chunk})
    pair = tl.program_id(0) * {chunk} + p
    there = (p < {chunk}) & (pair < num_pairs)
    chosen = tl.load(p_indices + pair, mask=there, other=0)
    chosen = tl.minimum(tl.maximum(chosen, 0), {experts} - 1)
    counts = tl.histogram(chosen, {bins}, mask=there)
    tl.store(w_counts + tl.program_id(0) * {bins} + tl.arange(0, {bins}), counts)'''

PLACE = '''@triton.jit
def NAME(p_x, p_indices, w_counts, w_groups, w_places, w_rows, num_pairs):
    """DOC"""
    e = tl.arange(0, {bins})
    c = tl.arange(0, {counts_at_once})[:, None]
    begin = tl.program_id(0) * {block}
    mine = begin // {chunk}
    num_chunks = tl.cdiv(num_pairs, {chunk})
    totals = tl.zeros([{bins}], tl.int32)
    before = tl.zeros([{bins}], tl.int32)
    for start in range(0, num_chunks, {counts_at_once}):
        chunk = start + c
        counts = tl.load(w_counts + chunk * {bins} + e[None, :], mask=chunk < num_chunks, other=0)
        totals += tl.sum(counts, axis=0)
        before += tl.sum(tl.where(chunk < mine, counts, 0), axis=0)
    p = mine * {chunk} + tl.arange(0, {padded_chunk})
    chosen = tl.load(p_indices + p, mask=p < begin, other=0)
    chosen = tl.minimum(tl.maximum(chosen, 0), {experts} - 1)
    before += tl.histogram(chosen, {bins}, mask=p < begin)
    starts = tl.cumsum(totals, 0) - totals
    if begin == 0:
        groups = (totals + {rows} - 1) // {rows}
        tl.store(w_groups, tl.sum(groups))
        group = w_groups + 1 + 3 * (tl.cumsum(groups, 0) - groups)
        for i in range(0, tl.max(groups)):
            tl.store(group + 3 * i, e, mask=i < groups)
            tl.store(group + 3 * i + 1, starts + i * {rows}, mask=i < groups)
            tl.store(group + 3 * i + 2, starts + totals, mask=i < groups)
    i = tl.arange(0, {padded_block})
    pair = begin + i
    there = (i < {block}) & (pair < num_pairs)
    chosen = tl.load(p_indices + pair, mask=there, other=0)
    chosen = tl.minimum(tl.maximum(chosen, 0), {experts} - 1)
    other = tl.load(p_indices + begin + i[None, :], mask=(begin + i[None, :]) < num_pairs, other=0)
    other = tl.minimum(tl.maximum(other, 0), {experts} - 1)
    earlier = (chosen[:, None] == other) & (i[None, :] < i[:, None])
    place = tl.gather(starts + before, chosen, 0) + tl.sum(earlier.to(tl.int32), axis=1)
    tl.store(w_places + pair, place, mask=there)
    x = p_x + (pair // {k}).to(tl.int64)[:, None] * {hidden}
    row = w_rows + place.to(tl.int64)[:, None] * {hidden}
    for start in range(0, {hidden}, {columns}):
        d = start + tl.arange(0, {columns})[None, :]
        inside = there[:, None]{inside}
        tl.store(row + d, tl.load(x + d, mask=inside), mask=inside)'''
"""A block's pairs lie in one chunk: behind those of earlier chunks, and of its own before it."""

SUM = '''@triton.jit
def NAME(p_weights, w_places, w_rows, o_out, num_tokens):
    """DOC"""
    token = tl.program_id(0) * {tokens} + tl.arange(0, {tokens})
    d = tl.program_id(1) * {columns} + tl.arange(0, {columns})[None, :]
    there = token < num_tokens
    inside = there[:, None]{inside}
    total = tl.zeros([{tokens}, {columns}], tl.float32)
    for choice in tl.static_range({k}):
        place = tl.load(w_places + token * {k} + choice, mask=there, other=0)
        share = tl.load(p_weights + token * {k} + choice, mask=there, other=0.0).to(tl.float32)
        row = w_rows + place.to(tl.int64)[:, None] * {hidden}
        product = tl.load(row + d, mask=inside, other=0.0).to(tl.float32)
        total += share[:, None] * product
    tl.store(o_out + token.to(tl.int64)[:, None] * {hidden} + d, total, mask=inside)'''

BY_GROUPS = '''\


@gluon.jit
def count_tiles(w_groups):
    """Tiles of all groups."""
    return gl.load(w_groups) * NUM_N


@gluon.jit
def place_of(tile, w_groups):
    """A tile's first row, the end of its expert's rows, its first column, and the expert."""
    group = w_groups + 1 + tile // NUM_N * 3
    return gl.load(group + 1), gl.load(group + 2), tile % NUM_N * EACH, gl.load(group)
'''
"""Which tiles there are of products of groups."""

BIAS = "sums{part} += gl.load({name} + expert * {row} + {start} + n{mask}).to(gl.float32)[None, :]"
