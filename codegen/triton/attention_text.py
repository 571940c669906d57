"""Triton of attention over pages: the loop over keys, decode with split contexts, prefill."""

SETUP = """    i = tl.arange(0, {rows})
    d = tl.arange(0, {dim})
    e = tl.arange(0, {value_dim})
    step_keys = tl.arange(0, {block})"""

FULL_LOOP = """    full_end = first + tl.maximum(begin - first, 0) // {block} * {block}
    for start in range(first, full_end, {block}):  # keys that all queries of the tile see
        keys = start + step_keys
        page = tl.load(p_table + sequence * num_table_columns + keys // {page})
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {D}
        k = tl.load(p_cache + head * {head_keys} + place[None, :] + d[:, None]{d_only})
        scores = tl.dot(q, k{precision}) * {scale_log2e}
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        weights = tl.exp2(scores - new_top[:, None])
        fade = tl.exp2(top - new_top)
        total = total * fade + tl.sum(weights, axis=1)
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {Dv}
        v = tl.load(p_cache + {values} + head * {head_values} + place[:, None] + e[None, :]{e_only})
        sums = sums * fade[:, None] + tl.dot(weights.to(v.dtype), v{precision})
        top = new_top
    first = full_end
"""

LOOP = """    for start in range(first, end, {block}):
        keys = start + step_keys
        there = keys < end
        page = tl.load(p_table + sequence * num_table_columns + keys // {page}, mask=there, other=0)
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {D}
        k = tl.load(p_cache + head * {head_keys} + place[None, :] + d[:, None],
                    mask=there[None, :]{d_mask_rows}, other=0.0)
        scores = tl.dot(q, k{precision}) * {scale}
{softcap}        seen = there[None, :] & {causal}
        scores = tl.where(seen, scores * {log2e}, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        shift = tl.where(new_top == float("-inf"), 0.0, new_top)
        weights = tl.exp2(scores - shift[:, None])
        fade = tl.exp2(top - shift)
        total = total * fade + tl.sum(weights, axis=1)
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {Dv}
        v = tl.load(p_cache + {values} + head * {head_values} + place[:, None] + e[None, :],
                    mask=there[:, None]{e_mask}, other=0.0)
        sums = sums * fade[:, None] + tl.dot(weights.to(v.dtype), v{precision})
        top = new_top
"""

SINKS = """    sink = tl.load(p_sinks + heads, mask=real, other=0.0).to(tl.float32) * {log2e}
    new_top = tl.maximum(top, sink)
    total = total * tl.exp2(top - new_top) + tl.exp2(sink - new_top)
    sums = sums * tl.exp2(top - new_top)[:, None]
"""

LOAD_QUERY = """\
    q = tl.load(p_q + token * {stride} + {offset} + heads[:, None] * {D} + d[None, :],
                mask=real[:, None]{d_mask}, other=0.0)
"""

DECODE = """@triton.jit
def NAME({names}num_table_columns):
    \"\"\"DOC\"\"\"
{aliases}    token = tl.program_id(0)
    head = tl.program_id(1)
    split = tl.program_id(2)
    position = tl.load(p_positions + token)
    sequence = tl.load(p_sequence_ids + token)
    length = position + 1
    first = {window_start}
    num_blocks = (length - first + {block} - 1) // {block}
    per_split = tl.maximum((num_blocks + {splits} - 1) // {splits}, 1)
    num_splits = tl.maximum((num_blocks + per_split - 1) // per_split, 1)
    if split >= num_splits:
        return
    first += split * per_split * {block}
    end = tl.minimum(first + per_split * {block}, length)
{setup}
    heads = head * {group} + i
    real = i < {group}
{query}    top = tl.full([{rows}], float("-inf"), tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)
{loop}{combine}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + (token * {H} + heads[:, None]) * {Dv} + e[None, :], result,
             mask=real[:, None]{e_mask_rows})"""

COMBINE = """    if num_splits > 1:
        part = (token * {Hk} + head) * {splits}
        tl.store(w_tops + (part + split) * {rows} + i, top)
        tl.store(w_totals + (part + split) * {rows} + i, total)
        tl.store(w_sums + ((part + split) * {rows} + i[:, None]) * {value_dim} + e[None, :], sums)
        tl.debug_barrier()
        ticket = tl.atomic_add(w_tickets + token * {Hk} + head, 1, sem="acq_rel")
        if ticket != num_splits - 1:
            return
        tl.store(w_tickets + token * {Hk} + head, 0)
        top = tl.full([{rows}], float("-inf"), tl.float32)
        total = tl.zeros([{rows}], tl.float32)
        sums = tl.zeros([{rows}, {value_dim}], tl.float32)
        for other in range(0, num_splits):
            other_top = tl.load(w_tops + (part + other) * {rows} + i, cache_modifier=".cg")
            other_total = tl.load(w_totals + (part + other) * {rows} + i, cache_modifier=".cg")
            other_sums = tl.load(
                w_sums + ((part + other) * {rows} + i[:, None]) * {value_dim} + e[None, :],
                cache_modifier=".cg")
            new_top = tl.maximum(top, other_top)
            shift = tl.where(new_top == float("-inf"), 0.0, new_top)
            fade, other_fade = tl.exp2(top - shift), tl.exp2(other_top - shift)
            total = total * fade + other_total * other_fade
            sums = sums * fade[:, None] + other_sums * other_fade[:, None]
            top = new_top
"""

PREFILL = """@triton.jit
def NAME({names}num_sequences, num_table_columns):
    \"\"\"DOC\"\"\"
    tile = tl.program_id(0)
    head = tl.program_id(1)
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
    context = tl.load(p_context_lengths + sequence) - num_queries
    end = tl.minimum(context + query + {tokens}, context + num_queries)
    begin = context + query + 1
    first = {window_start}
{setup}
    local = query + i // {padded_group}
    heads = head * {group} + i % {padded_group}
    real = (local < num_queries) & (i % {padded_group} < {group})
    positions = context + local
    q = tl.load(p_q + (query_start + local)[:, None] * {stride} + {offset}
                + heads[:, None] * {D} + d[None, :], mask=real[:, None]{d_mask}, other=0.0)
    top = tl.full([{rows}], float("-inf"), tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)
{full_loop}{loop}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + ((query_start + local)[:, None] * {H} + heads[:, None]) * {Dv} + e[None, :],
             result, mask=real[:, None]{e_mask_rows})"""
