"""Triton of top-k, top-p and min-p: each as the lowest score that it keeps, as for CPUs.

A row's scores are few where sets are small, so a floor is found first, below which no threshold
can be, and the scores from there up are listed. The lowest score of a set is then found by digits
of its key (see `codegen/cpp/kit/sample_sets.h`). For top-p a score weighs e^(score - largest) in
fixed point, rounded from f64 at the 45th bit or near it: sums are exact in any order.
"""

SETS = '''@triton.jit
def _key(z):
    """Whole numbers i64 from 0 to 2^32 - 1 in the order of the floats; -0 counts as 0."""
    bits = (z + 0.0).to(tl.int32, bitcast=True)
    return (bits ^ (bits >> 31 | SIGN)).to(tl.uint32, bitcast=True).to(tl.int64)


@triton.jit
def _from_key(key):
    low = key.to(tl.uint32).to(tl.int32, bitcast=True)
    return tl.where(low < 0, low ^ SIGN, ~low).to(tl.float32, bitcast=True)


@triton.jit
def _weight(z, largest):
    """e^(z - largest) in units of 1 / ONE."""
    power = tl.exp(z.to(tl.float64) - largest.to(tl.float64)) * ONE + 0.5
    return tl.where(z == largest, tl.full(z.shape, ONE, tl.int64), power.to(tl.int64))


@triton.jit
def _scores(p_x, v, temperature):
    x = tl.load(p_x + v, mask=v < V, other=float("-inf"))
    return tl.div_rn(x, temperature + tl.zeros_like(x))


@triton.jit
def _kth(scores, k):
    """The k-th largest of a tile."""
    keys = _key(scores)
    found = k.to(tl.int64) * 0
    for bit in tl.static_range(31, -1, -1):
        more = found | (1 << bit)
        found = tl.where(tl.sum((keys >= more).to(tl.int32)) >= k, more, found)
    return _from_key(found)


@triton.jit
def _list(p_x, temperature, floor, largest, with_total, p_list):
    """Lists the scores from `floor` up; their number, and the weight of all if it is wanted."""
    num = 0
    total = tl.zeros([TILE], tl.int64)
    for start in tl.range(0, V, TILE, num_stages=4):
        v = start + tl.arange(0, TILE)
        z = _scores(p_x, v, temperature)
        if with_total:
            total += tl.where(v < V, _weight(z, largest), 0)
        kept = ((v < V) & (z >= floor)).to(tl.int32)
        place = num + tl.cumsum(kept) - kept
        tl.store(p_list + place, z.to(tl.int32, bitcast=True), mask=kept > 0)
        num += tl.sum(kept)
    tl.debug_barrier()
    return num, tl.sum(total)


@triton.jit
def _add_up(p_list, num, floor, largest, by_weight: tl.constexpr, key, shift: tl.constexpr,
            count: tl.constexpr, p_sums):
    """Weights by the next digit, of `count` values, of the scores whose key begins with `key`."""
    digits = tl.arange(0, NUM_SUMS)
    tl.store(p_sums + digits, tl.zeros([NUM_SUMS], tl.int64))
    tl.debug_barrier()
    for start in range(0, num, TILE):
        i = start + tl.arange(0, TILE)
        bits = tl.load(p_list + i, mask=i < num, other=0, cache_modifier=".cg")
        z = bits.to(tl.float32, bitcast=True)
        digit = _key(z) >> shift
        kept = (i < num) & (z >= floor) & (digit // count == key)
        weight = _weight(z, largest) if by_weight else tl.full([TILE], 1, tl.int64)
        tl.atomic_add(p_sums + digit % count, weight, mask=kept, sem="relaxed")
    tl.debug_barrier()
    sums = tl.load(p_sums + digits, cache_modifier=".cg")
    tl.debug_barrier()
    return sums


@triton.jit
def _walk_down(sums, above, enough):
    """The digit down to which the weight is enough, and what lies above it."""
    digits = tl.arange(0, NUM_SUMS)
    reached = above + tl.cumsum(sums, reverse=True)
    last = tl.max(tl.where((reached.to(tl.float64) >= enough) & (sums > 0), digits, 0))
    return last.to(tl.int64), above + tl.sum(tl.where(digits > last, sums, 0))


@triton.jit
def _lowest_of_set(p_list, num, floor, largest, by_weight: tl.constexpr, share, total, p_sums):
    """The lowest of the fewest highest scores, from `floor` up, that are `share` many, or that
    weigh this share of `total` (of all that are listed, if it is 0)."""
    none = total * 0
    enough = share.to(tl.float64)
    sums = _add_up(p_list, num, floor, largest, by_weight, none, 21, 2048, p_sums)
    if by_weight:
        enough *= tl.where(total > 0, total, tl.sum(sums)).to(tl.float64)
    key, above = _walk_down(sums, none, enough)
    sums = _add_up(p_list, num, floor, largest, by_weight, key, 10, 2048, p_sums)
    last, above = _walk_down(sums, above, enough)
    key = key * 2048 + last
    sums = _add_up(p_list, num, floor, largest, by_weight, key, 0, 1024, p_sums)
    last, above = _walk_down(sums, above, enough)
    return _from_key(key * 1024 + last)


@triton.jit
def _lowest_score(p_x, temperature, top_k, top_p, min_p, p_list, p_sums):
    """The lowest score that is in all sets."""
    most = tl.full([TILE], float("-inf"), tl.float32)
    for start in tl.range(0, V, TILE, num_stages=4):
        most = tl.maximum(most, _scores(p_x, start + tl.arange(0, TILE), temperature))
    largest = tl.max(most)
    lowest = tl.full((), float("-inf"), tl.float32)
    by_rank = (top_k > 0) & (top_k < V)
    if by_rank | (top_p < 1.0):
        if by_rank:  # as many scores are from there up, in lanes of their own
            floor = tl.where(top_k <= TILE, _kth(most, top_k), float("-inf"))
        else:  # what is below weighs less than half of 1 - top_p
            floor = largest - tl.log((1.0 * V) / (1.0 - top_p)) - 1.0
        num, total = _list(p_x, temperature, floor, largest, not by_rank, p_list)
        lowest = floor
        if by_rank:
            lowest = _lowest_of_set(p_list, num, floor, largest, False, top_k, total, p_sums)
        if top_p < 1.0:
            lowest = _lowest_of_set(p_list, num, lowest, largest, True, top_p, total, p_sums)
    if min_p > 0.0:
        least = largest.to(tl.float64) + tl.log(min_p.to(tl.float64))
        near = least.to(tl.float32)
        near = tl.where(near.to(tl.float64) < least, _from_key(_key(near) + 1), near)
        lowest = tl.maximum(lowest, near)
    return tl.minimum(lowest, largest)


@triton.jit
def _lowest_logit(lowest, temperature):
    """The lowest logit whose score is not below this one: a score rises with its logit."""
    below = tl.full((), 0, tl.int64)
    for i in range(0, 32):
        more = below | (tl.full((), 1 << 31, tl.int64) >> i)
        below = tl.where(tl.div_rn(_from_key(more), temperature) < lowest, more, below)
    return _from_key(tl.maximum(below + 1, KEY_OF_MINUS_INFINITY))
'''
