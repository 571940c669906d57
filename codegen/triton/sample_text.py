"""Triton of sampling: prepare a row's scores, choose from them, and say how probable that was."""

PREPARE = """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    row = tl.program_id(0)
    slot = tl.load(p_sample_slots + row)
    token_place = tl.load(p_sample_places + row)
    temperature = tl.load(p_temperature + slot)
    top_k = tl.load(p_top_k + slot)
    top_p = tl.load(p_top_p + slot)
    min_p = tl.load(p_min_p + slot)
    repetition = tl.load(p_repetition_penalty + slot)
    presence = tl.load(p_presence_penalty + slot)
    frequency = tl.load(p_frequency_penalty + slot)
    has_mask = tl.load(p_has_mask + slot) != 0
    num_edits = tl.load(p_num_edits + slot)
    limits_k = (top_k > 0) & (top_k < {V})
    limits_p = top_p < 1.0
    restricts = (temperature > 0.0) & (limits_k | limits_p | (min_p > 0.0))
    penalizes = (repetition != 1.0) | (presence != 0.0) | (frequency != 0.0)
    wanted = restricts | penalizes | has_mask | (num_edits > 0)
    wanted &= (tl.load(p_targets + row) < 0) & (token_place >= 0)
    tl.store(w_prepared + row, wanted.to(tl.int32))
    tl.store(w_lowest + row, float("-inf"))
    if not wanted:
        return
    num_tokens = tl.load(p_sample_positions + row).to(tl.int32)
    first_place = token_place - num_tokens
    num_prompt_tokens = tl.load(p_num_prompt_tokens + slot)
    here, along = tl.arange(0, {chunk}), tl.arange(0, {line})
    start = row.to(tl.int64) * {V}
    scale = tl.where(temperature > 0.0, temperature, 1.0)
    top = float("-inf")
    for first in range(0, {V}, {chunk}):
        place = first + here
        inside = place < {V}
        x = tl.load(p_logits + start + place, mask=inside, other=float("-inf"))
        if has_mask:
            word = tl.load(p_masks + slot * {words} + place // 32, mask=inside, other=0)
            x = tl.where((word >> (place % 32)) & 1 != 0, x, float("-inf"))
        for e in range(0, num_edits):
            token = tl.load(p_edit_tokens + slot * {max_edits} + e)
            if (token >= first) & (token < first + {chunk}):
                begin = tl.load(p_edit_prefix_starts + slot * ({max_edits} + 1) + e)
                length = tl.load(p_edit_prefix_starts + slot * ({max_edits} + 1) + e + 1) - begin
                holds = (num_tokens < tl.load(p_edit_ends + slot * {max_edits} + e))
                holds &= length <= num_tokens
                for j in range(0, tl.where(holds, length, 0)):
                    known = tl.load(p_token_table + token_place - length + j)
                    holds &= known == tl.load(p_edit_prefixes + slot * {max_prefix} + begin + j)
                value = tl.load(p_edit_values + slot * {max_edits} + e)
                x = tl.where((place == token) & holds, x + value, x)
        if penalizes:
            seen = tl.zeros([{chunk}], tl.int32)
            counts = tl.zeros([{chunk}], tl.int32)
            for base in range(0, num_tokens, 1024):
                i = base + tl.arange(0, 1024)
                token = tl.load(p_token_table + first_place + i, mask=i < num_tokens, other=-1)
                near = (token >= first) & (token < first + {chunk}) & (i < num_tokens)
                bins = tl.where(near, token - first, 0)
                seen += tl.histogram(bins, {chunk}, mask=near)
                counts += tl.histogram(bins, {chunk}, mask=near & (i >= num_prompt_tokens))
            less = tl.where(x > 0.0, x / repetition, x * repetition)
            x = tl.where(seen > 0, less, x) - frequency * counts.to(tl.float32)
            x -= presence * (counts > 0).to(tl.float32)
        tl.store(w_adjusted + start + place, x, mask=inside)
        top = tl.maximum(top, tl.max(x / scale))
    if not restricts:
        return
    tl.debug_barrier()
    low = _ordered(float("-inf"))
    low += tl.zeros([], tl.int64)
    after_top = _ordered(top) + 1
    if limits_k:
        high = after_top
        while high - low > 1:
            middle = (low + high) >> 1
            count = 0
            for first in range(0, {V}, {line}):
                place = first + along
                x = tl.load(w_adjusted + start + place, mask=place < {V}, other=float("-inf"))
                count += tl.sum(((_ordered(x / scale) >= middle) & (place < {V})).to(tl.int32))
            low = tl.where(count >= top_k, middle, low)
            high = tl.where(count >= top_k, high, middle)
    if limits_p:
        total = _mass(w_adjusted + start, along, low, top, scale)
        high = after_top
        while high - low > 1:
            middle = (low + high) >> 1
            enough = _mass(w_adjusted + start, along, middle, top, scale) >= total * top_p
            low = tl.where(enough, middle, low)
            high = tl.where(enough, high, middle)
    lowest = _unordered(low)
    least = tl.where(min_p > 0.0, top + tl.log(tl.maximum(min_p, 1e-37)), float("-inf"))
    tl.store(w_lowest + row, tl.maximum(lowest, least))"""

HELPERS = """@triton.jit
def _ordered(x):
    \"\"\"Integers in the order of floats.\"\"\"
    bits = (x + tl.zeros([], tl.float32)).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64)


@triton.jit
def _unordered(key):
    \"\"\"The float of an integer of `_ordered`.\"\"\"
    bits = key.to(tl.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def _mass(logits, along, least, top, scale):
    \"\"\"The sum of exp(z - top) over the scores z = x / scale from ``least`` on.\"\"\"
    total = tl.zeros([], tl.float64)
    for first in range(0, {V}, {line}):
        place = first + along
        x = tl.load(logits + place, mask=place < {V}, other=float("-inf"))
        z = x / scale
        weight = tl.where(_ordered(z) >= least, tl.exp(z - top), 0.0)
        total += tl.sum(weight.to(tl.float64))
    return total


"""

CHOOSE = """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    row = tl.program_id(0)
    chunk = tl.program_id(1)
    block = chunk * {blocks} + tl.arange(0, {blocks})
    place = block[:, None] * 4 + tl.arange(0, 4)[None, :]
    inside = place < {V}
    start = row.to(tl.int64) * {V}
    x = tl.load(p_logits + start + place, mask=inside, other=0.0)
    finite = tl.abs(x) < float("inf")
    slot = tl.load(p_sample_slots + row)
    temperature = tl.load(p_temperature + slot)
    score = x
    if tl.load(w_prepared + row) != 0:
        score = tl.load(w_adjusted + start + place, mask=inside, other=0.0)
    if temperature > 0.0:
        seed = tl.load(p_seeds + slot)
        position = tl.load(p_sample_positions + row)
        low, high = position.to(tl.int32), (position >> 32).to(tl.int32)
        zero = tl.zeros_like(block)
        a, b, c, d = tl.philox(seed, block, zero + low, zero + high, zero, 10)
        words = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), ({blocks}, 4))
        uniform = (words.to(tl.uint32, bitcast=True).to(tl.float32) + 0.5) * {scale}
        noise = -tl.log(-tl.log(tl.minimum(uniform, {below_one})))
        z = score / temperature
        score = tl.where(z >= tl.load(w_lowest + row), z + noise, float("-inf"))
    score = tl.where(inside, score, float("-inf"))
    best = tl.max(score)
    first = tl.min(tl.where((score == best) & inside, place, {V}))
    first = tl.where(best == float("-inf"), {V}, first)
    first = tl.where(tl.min((finite | (place >= {V})).to(tl.int32)) == 0, -1, first)
    tl.store(w_best + row * {chunks} + chunk, best)
    tl.store(w_first + row * {chunks} + chunk, first)
    tl.debug_barrier()
    ticket = tl.atomic_add(w_tickets + row, 1, sem="acq_rel")
    if ticket != {chunks} - 1:
        return
    tl.store(w_tickets + row, 0)
    i = tl.arange(0, {padded_chunks})
    bests = tl.load(w_best + row * {chunks} + i, mask=i < {chunks}, other=float("-inf"),
                    cache_modifier=".cg")
    firsts = tl.load(w_first + row * {chunks} + i, mask=i < {chunks}, other={V},
                     cache_modifier=".cg")
    token = tl.min(tl.where(bests == tl.max(bests), firsts, {V}))
    token = tl.where(token == {V}, -1, token)
    target = tl.load(p_targets + row)
    token = tl.where(target >= 0, target, token)
    token = tl.where(tl.min(firsts) < 0, -1, token)
    tl.store(o_tokens + row, token)
    known = tl.where(target >= 0, target, tl.maximum(token, 0))
    where = tl.load(p_sample_places + row)
    tl.store(p_token_table + where, known, mask=where >= 0)"""

LOGPROBS = """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    row = tl.program_id(0)
    slot = tl.load(p_sample_slots + row)
    token = tl.load(o_tokens + row)
    if tl.load(p_targets + row) >= 0:
        wanted = tl.load(p_num_prompt_logprobs + slot)
    else:
        wanted = tl.load(p_num_logprobs + slot)
    if (wanted < 0) | (token < 0):
        return
    along = tl.arange(0, {line})
    logits = p_logits + row.to(tl.int64) * {V}
    chosen = tl.load(logits + token)
    top = float("-inf")
    rank = 1
    for first in range(0, {V}, {line}):
        place = first + along
        x = tl.load(logits + place, mask=place < {V}, other=float("-inf"))
        top = tl.maximum(top, tl.max(x))
        rank += tl.sum((x > chosen).to(tl.int32))
    total = tl.zeros([], tl.float64)
    for first in range(0, {V}, {line}):
        place = first + along
        x = tl.load(logits + place, mask=place < {V}, other=float("-inf"))
        total += tl.sum(tl.exp(x - top).to(tl.float64))
    normal = top + tl.log(total.to(tl.float32))
    tl.store(o_chosen + row, chosen - normal)
    tl.store(o_ranks + row, rank)
    last, last_place = float("inf"), -1
    for number in range(0, {num_top}):
        best, best_place = float("-inf"), {V}
        for first in range(0, {V}, {line}):
            place = first + along
            x = tl.load(logits + place, mask=place < {V}, other=float("-inf"))
            later = (x < last) | ((x == last) & (place > last_place))
            x = tl.where(later & (place < {V}), x, float("-inf"))
            most = tl.max(x)
            at = tl.min(tl.where(x == most, place, {V}))
            best_place = tl.where(most > best, at, best_place)
            best = tl.maximum(best, most)
        tl.store(o_top_ids + row * {num_top} + number, tl.where(best_place < {V}, best_place, -1))
        tl.store(o_top + row * {num_top} + number, best - normal)
        last, last_place = best, best_place"""
