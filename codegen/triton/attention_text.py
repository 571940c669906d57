"""Triton of attention over pages: the loop over keys, decode with split contexts, prefill.

Scores stay as products leave them; exponents of two are taken of scores times a factor. The top of
a row starts at a number, not at minus infinity: a row that has seen no key yet is no special case.
"""

SETUP = """    i = tl.arange(0, {rows})
    d = tl.arange(0, {dim})
    e = tl.arange(0, {value_dim})
    step_keys = tl.arange(0, {block})
    p_pages = p_table + sequence * num_table_columns
    p_k = p_cache + head * {head_keys}
    p_v = p_cache + {values} + head * {head_values}"""

START = """    top = tl.full([{rows}], -3e38, tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)"""

LOOP = """    for start in tl.range({bounds}):
{head}        page = tl.load(p_pages + {columns}).to(tl.int64) * {page_elements}
        place = page + step_keys % {page} * {D}
        k = tl.load(p_k + place[None, :] + d[:, None]{k_mask})
        scores = tl.dot(q, k{precision})
{capped}{masked}        new_top = tl.maximum(top, tl.max(scores, axis=1) * {factor})
        weights = tl.exp2(scores * {factor} - new_top[:, None])
        fade = tl.exp2(top - new_top)
        total = total * fade + tl.sum(weights, axis=1)
        place = page + step_keys % {page} * {Dv}
        v = tl.load(p_v + place[:, None] + e[None, :]{v_mask})
        sums = tl.dot(weights.to(v.dtype), v, sums * fade[:, None]{precision})
        top = new_top
"""

SINKS = """    sink = tl.load(p_sinks + heads, mask=real, other=0.0).to(tl.float32) * {log2e}
    new_top = tl.maximum(top, sink)
    total = total * tl.exp2(top - new_top) + tl.exp2(sink - new_top)
    sums = sums * tl.exp2(top - new_top)[:, None]
"""

DECODE = (
    """@triton.jit
def NAME({names}num_table_columns):
    \"\"\"DOC\"\"\"
{let_next_begin}{aliases}    split = tl.program_id(0)
    head = tl.program_id(1)
    token = tl.program_id(2)
    position = tl.load(p_positions + token)
    sequence = tl.load(p_sequence_ids + token)
    length = position + 1
    first = {first}
    num_blocks = (length - first + {block} - 1) // {block}
    per_split = tl.maximum((num_blocks + {splits} - 1) // {splits}, {least})
    num_splits = tl.maximum((num_blocks + per_split - 1) // per_split, 1)
    if split >= num_splits:
        return
    first += split * per_split * {block}
    end = tl.minimum(first + per_split * {block}, length)
"""
    + SETUP
    + """
{await_inputs}    heads = head * {group} + i
    real = i < {group}
{making}"""
    + START
    + """
{loop}{combine}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + (token * {H} + heads[:, None]) * {Dv} + e[None, :], result,
             mask=real[:, None]{e_mask})"""
)

COMBINE = (
    """    if num_splits > 1:  # a part is its top, with its total's logarithm in it, and its mean
        part = (token * {Hk} + head) * {splits}
        place = i[:, None] * {Dv} + e[None, :]
        tl.store(w_tops + (part + split) * {group} + i, top + tl.log2(total), mask=real)
        tl.store(w_means + (part + split) * {group_values} + place, sums / total[:, None],
                 mask=real[:, None]{e_mask})
        tl.debug_barrier()
        ticket = tl.atomic_add(w_tickets + token * {Hk} + head, 1, sem="acq_rel")
        if ticket != num_splits - 1:
            return
        tl.store(w_tickets + token * {Hk} + head, 0)
"""
    + START.replace("    ", "        ")
    + """
        for other in range(0, num_splits):
            other_top = tl.load(w_tops + (part + other) * {group} + i, mask=real, other=0.0,
                                cache_modifier=".cg")
            mean = tl.load(w_means + (part + other) * {group_values} + place,
                           mask=real[:, None]{e_mask}, other=0.0, cache_modifier=".cg")
            new_top = tl.maximum(top, other_top)
            fade, weight = tl.exp2(top - new_top), tl.exp2(other_top - new_top)
            total = total * fade + weight
            sums = sums * fade[:, None] + mean * weight[:, None]
            top = new_top
"""
)

FIND_SEQUENCE = """\
    low, high = 0, num_sequences  # the last sequence whose first tile is not after this one
    while high - low > 1:
        middle = (low + high) // 2
        after = tl.load(p_query_start + middle) // {tokens} + middle > tile
        low, high = tl.where(after, low, middle), tl.where(after, middle, high)
    sequence = low
    query_start = tl.load(p_query_start + sequence)
    num_queries = tl.load(p_query_start + sequence + 1) - query_start
    query = (tile - query_start // {tokens} - sequence) * {tokens}
    if query >= num_queries:
        return
"""

PREFILL = (
    """@triton.jit
def NAME({names}num_sequences, num_table_columns):
    \"\"\"DOC\"\"\"
{aliases}    head = tl.program_id(0)
    tile = tl.num_programs(1) - 1 - tl.program_id(1)  # later ones have more keys, and begin first
"""
    + FIND_SEQUENCE
    + """    context = tl.load(p_context_lengths + sequence) - num_queries
    end = tl.minimum(context + query + {tokens}, context + num_queries)
"""
    + SETUP
    + """
    local = query + i // {padded_group}
    heads = head * {group} + i % {padded_group}
    real = (local < num_queries) & (i % {padded_group} < {group})
    positions = context + local
{query}"""
    + START
    + """
{loops}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + ((query_start + local)[:, None] * {H} + heads[:, None]) * {Dv} + e[None, :],
             result, mask=real[:, None]{e_mask})"""
)
