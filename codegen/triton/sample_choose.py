"""Triton of choosing a token: at temperature 0 the place of the largest score, above it a draw.

A block takes a span of a row. The last of a row's blocks to arrive takes the best place of all
spans; or it draws a span by the masses that all blocks have found, then a place in it, for which it
reads that span again. So a block divides no logit and makes no noise, but for that last one.
"""

CHOOSE = '''@triton.jit
def _gumbel(seed, position, first, stream: tl.constexpr, count: tl.constexpr):
    """Noise of places of a stream of `ir.ops.random`, from `first` on."""
    counter = first // 4 + tl.arange(0, count // 4)
    zero = tl.zeros_like(counter)
    low, high = position.to(tl.int32), (position >> 32).to(tl.int32)
    a, b, c, d = tl.philox(seed, counter, zero + low, zero + high, zero + stream, 10)
    words = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (count,))
    uniform = (words.to(tl.uint32, bitcast=True).to(tl.float32) + 0.5) * UNIT
    return -tl.log(-tl.log(tl.minimum(uniform, BELOW_ONE)))


@triton.jit
def _read(p_x, p_adjusted, adjusts, place):
    """Adjusted logits, minus infinity where there are none, and whether the raw ones are finite."""
    x = tl.load(p_x + place, mask=place < V, other=float("-inf"))
    finite = (tl.abs(x) < float("inf")) | (place >= V)
    if adjusts:
        x = tl.load(p_adjusted + place, mask=place < V, other=float("-inf"))
    return x, finite


@triton.jit
def _scaled(x, temperature):
    return tl.div_rn(x, temperature + tl.zeros_like(x))


@triton.jit
def _largest(x, finite, place):
    """The largest, and its lowest place; -1 for this where a raw logit is not finite."""
    best = tl.max(x)
    first = tl.where((x == best) & (place < V), place, V)
    return best, tl.min(tl.where(finite, first, -1))


@triton.jit
def _add_up(x, finite, temperature):
    """The largest x, and the sum of e^((x - largest) / temperature); a sum that is not at least 0
    where a raw logit is not finite."""
    best = tl.max(x)
    base = tl.where(tl.abs(best) < float("inf"), best, 0.0)
    powers = tl.exp2((x - base) * (LOG2_E / temperature))
    return best, tl.sum(tl.where(finite, powers, float("-inf")))


@triton.jit
def _draw(p_x, p_adjusted, adjusts, temperature, lowest, seed, position, masses, firsts):
    """The largest sum of score and noise in the span that is drawn, and its place."""
    masses += _gumbel(seed, position, 0, OF_SPANS, PADDED_SPANS)
    start = tl.min(tl.where(masses == tl.max(masses), firsts, V))
    bests = tl.full([NOISES], float("-inf"), tl.float32)
    places = tl.full([NOISES], V, tl.int32)
    for first in range(start, start + SPAN, NOISES):
        place = first + tl.arange(0, NOISES)
        x, _ = _read(p_x, p_adjusted, adjusts, place)
        score = _scaled(tl.where(x >= lowest, x, float("-inf")), temperature)
        score += _gumbel(seed, position, first, OF_PLACES, NOISES)
        places = tl.where(score > bests, place, places)
        bests = tl.maximum(bests, score)
    best = tl.max(bests)
    return best, tl.min(tl.where(bests == best, places, V))


@triton.jit
def NAME(ARGUMENTS):
    """DOC"""
    row = tl.program_id(0)
    span = tl.program_id(1)
    slot = tl.load(p_sample_slots + row)
    lowest = tl.load(w_lowest + row)
    adjusts = tl.load(w_adjusts + row) > 0
    temperature = tl.load(p_temperature + slot)
    p_x = p_logits + row.to(tl.int64) * V
    p_adjusted = w_adjusted + row.to(tl.int64) * V
    place = span * SPAN + tl.arange(0, SPAN)
    x, finite = _read(p_x, p_adjusted, adjusts, place)
    if temperature > 0.0:
        best, total = _add_up(tl.where(x >= lowest, x, float("-inf")), finite, temperature)
        first = tl.where(total >= 0.0, span * SPAN, -1)
        tl.store(w_totals + row * NUM_SPANS + span, total)
    else:
        best, first = _largest(x, finite, place)
    tl.store(w_bests + row * NUM_SPANS + span, best)
    tl.store(w_firsts + row * NUM_SPANS + span, first)
    tl.debug_barrier()
    ticket = tl.atomic_add(w_tickets + row, 1, sem="acq_rel")
    if ticket != NUM_SPANS - 1:
        return
    tl.store(w_tickets + row, 0)
    i = tl.arange(0, PADDED_SPANS)
    at, there = row * NUM_SPANS + i, i < NUM_SPANS
    bests = tl.load(w_bests + at, mask=there, other=float("-inf"), cache_modifier=".cg")
    firsts = tl.load(w_firsts + at, mask=there, other=V, cache_modifier=".cg")
    finite = tl.min(firsts) >= 0
    if (temperature > 0.0) & finite:
        totals = tl.load(w_totals + at, mask=there, other=0.0, cache_modifier=".cg")
        seed = tl.load(p_seeds + slot)
        position = tl.load(p_sample_positions + row)
        masses = _scaled(bests, temperature) + tl.log(totals)
        best, token = _draw(p_x, p_adjusted, adjusts, temperature, lowest, seed, position, masses,
                            firsts)
    else:
        best = tl.max(bests)
        token = tl.min(tl.where(bests == best, firsts, V))
    token = tl.where(best > float("-inf"), token, -1)
    target = tl.load(p_targets + row)
    token = tl.where(target >= 0, target, token)
    token = tl.where(finite, token, -1)
    tl.store(o_tokens + row, token)
    known = tl.where(target >= 0, target, tl.maximum(token, 0))
    where = tl.load(p_sample_places + row)
    tl.store(p_token_table + where, known, mask=where >= 0)
'''
