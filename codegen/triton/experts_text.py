"""Texts of the Triton kernels of "experts" regions.

`pairs` are (token, choice), numbered token by token. A *group* is up to `rows` pairs of one expert;
`w_groups` says how many there are, then of each its expert, its first place in the sorted pairs,
and where its expert's pairs end.
"""

SORT = """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    expert = tl.program_id(0)
    p = tl.arange(0, {chunk})
    e = tl.arange(0, {bins})
    counts = tl.zeros([{bins}], tl.int32)
    for start in range(0, num_pairs, {chunk}):
        there = start + p < num_pairs
        chosen = tl.load(p_indices + start + p, mask=there, other=0)
        counts += tl.histogram(tl.minimum(tl.maximum(chosen, 0), {experts} - 1), {bins}, mask=there)
    groups = (counts + {rows} - 1) // {rows}
    if expert == 0:
        tl.store(w_groups, tl.sum(groups))
    place = tl.sum(tl.where(e < expert, counts, 0))
    end = place + tl.sum(tl.where(e == expert, counts, 0))
    if place == end:
        return
    group = w_groups + 1 + 3 * tl.sum(tl.where(e < expert, groups, 0))
    for first in range(place, end, {rows}):
        tl.store(group, expert)
        tl.store(group + 1, first)
        tl.store(group + 2, end)
        group += 3
    for start in range(0, num_pairs, {chunk}):
        there = start + p < num_pairs
        chosen = tl.load(p_indices + start + p, mask=there, other=0)
        mine = (there & (tl.minimum(tl.maximum(chosen, 0), {experts} - 1) == expert)).to(tl.int32)
        tl.store(w_order + place + tl.cumsum(mine, 0) - 1, start + p, mask=mine > 0)
        place += tl.sum(mine)"""

_GROUP = """    group = tl.program_id(1)
    num_groups = tl.load(w_groups)
    expert = tl.load(w_groups + 1 + 3 * group).to(tl.int64)
    first = tl.load(w_groups + 2 + 3 * group)
    end = tl.load(w_groups + 3 + 3 * group)
    if group >= num_groups:
        return
    m = first + tl.arange(0, {rows})
    there = m < end
    pair = tl.load(w_order + m, mask=there, other=0)
    n = tl.program_id(0) * {columns} + tl.arange(0, {columns})
"""

UP = (
    """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
"""
    + _GROUP
    + """    row = pair // {k} * {depth}
    gate = p_up + expert * {weight_elements} + n[None, :] * {depth}
    sums0 = tl.zeros([{rows}, {columns}], tl.float32)
{zeros}    for start in range(0, {depth}, {step}):
        d = start + tl.arange(0, {step})
        w0 = tl.load(gate + d[:, None]{w_mask})
        x = tl.load(p_x + row[:, None] + d[None, :], mask=there[:, None]{d_and}, other=0.0)
        sums0 = tl.dot(x, w0, sums0{precision})
{second}{biases}    result = {activation}
    tl.store(w_active + m[:, None] * {inner} + n[None, :], result, mask=there[:, None]{n_and})"""
)

DOWN = (
    """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
"""
    + _GROUP
    + """    weight = p_down + expert * {weight_elements} + n[None, :] * {depth}
    sums0 = tl.zeros([{rows}, {columns}], tl.float32)
    for start in range(0, {depth}, {step}):
        d = start + tl.arange(0, {step})
        w0 = tl.load(weight + d[:, None]{w_mask})
        x = tl.load(w_active + m[:, None] * {depth} + d[None, :],
                    mask=there[:, None]{d_and}, other=0.0)
        sums0 = tl.dot(x, w0, sums0{precision})
{biases}    share = tl.load(p_weights + pair, mask=there, other=0.0).to(tl.float32)
    place = pair.to(tl.int64)[:, None] * {hidden} + n[None, :]
    tl.store(w_products + place, share[:, None] * sums0, mask=there[:, None]{n_and})
    tl.debug_barrier()
    token = pair // {k}
    tickets = w_tickets + token * {tiles} + tl.program_id(0)
    ticket = tl.atomic_add(tickets, 1, mask=there, sem="acq_rel")
    last = there & (ticket == {k} - 1)
    if tl.max(last.to(tl.int32)) == 0:
        return
    tl.debug_barrier()
    tl.store(tickets, 0, mask=last)
    place = token.to(tl.int64)[:, None] * {hidden} + n[None, :]
    products = w_products + token.to(tl.int64)[:, None] * {token_elements} + n[None, :]
    total = tl.zeros([{rows}, {columns}], tl.float32)
    for choice in range({k}):
        product = tl.load(products + choice * {hidden}, mask=last[:, None]{n_and}, other=0.0,
                          cache_modifier=".cg")
        total += product.to(tl.float32)
    tl.store(o_out + place, total, mask=last[:, None]{n_and})"""
)

UP_ONE = """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    _await_inputs()
    _let_next_begin()  # which reads what is there now: the choices
    choice = tl.program_id(1)
    chosen = tl.load(p_indices + choice)
    expert = tl.minimum(tl.maximum(chosen, 0), {experts} - 1).to(tl.int64)
    n = tl.program_id(0) * {columns} + tl.arange(0, {columns})
    gate = p_up + expert * {weight_elements} + n[:, None] * {depth}
    sums0 = tl.zeros([{columns}, {step}], tl.float32)
{zeros}    for start in tl.range(0, {depth}, {step}, num_stages={num_stages}):
        d = start + tl.arange(0, {step})
        x = tl.load(p_x + d{d_mask}).to(tl.float32)[None, :]
        w0 = tl.load(gate + d[None, :]{w_mask},
                     eviction_policy="evict_first")
        sums0 += w0.to(tl.float32) * x
{second}    sums0 = tl.sum(sums0, axis=1)
{folds}{biases}    result = {activation}
    tl.store(w_active + choice * {inner} + n, result{n_mask})"""

DOWN_ONE = """@triton.jit
def weights_of(p_indices, choice):
    \"\"\"Where those of a choice's expert begin, in elements.\"\"\"
    chosen = tl.load(p_indices + choice, cache_modifier=".cg")
    return tl.minimum(tl.maximum(chosen, 0), {experts} - 1).to(tl.int64) * {weight_elements}


@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    _let_next_begin()
    n = tl.program_id(0) * {columns} + tl.arange(0, {columns})
    d = tl.arange(0, {step})
    weights = p_down + n[:, None] * {depth} + d[None, :]
{experts_of_choices}{first_weights}    _await_inputs()
{shares}{first_active}    sums0 = tl.zeros([{columns}, {step}], tl.float32)
{turns}    total = tl.sum(sums0, axis=1)
{biases}    tl.store(o_out + n, total{n_mask})"""
"""A turn is a choice and a part of K. Weights of the first are on their way before what they are
multiplied by is there: choices were there before the launch that makes it began."""

EXPERT = "    expert{choice} = weights_of(p_indices, {choice})\n"
SHARE = "    share{choice} = tl.load(p_weights + {choice}).to(tl.float32)\n"
WEIGHTS = """    w{turn} = tl.load(weights + expert{choice} + {start}{mask},
                eviction_policy="evict_first")
"""
ACTIVE = """    x{turn} = tl.load(w_active + {place} + d{mask}).to(tl.float32)
"""
TURN = """    sums0 += w{turn}.to(tl.float32) * (x{turn} * share{choice})[None, :]
"""

DOWN_ONE_BIAS = """    bias = tl.load(p_down_bias + expert{choice} // {depth} + n{n_load_mask})
    total += share{choice} * bias.to(tl.float32)
"""

ZEROS = "    sums1 = tl.zeros([{rows}, {columns}], tl.float32)\n"
ZEROS_ONE = "    sums1 = tl.zeros([{columns}, {step}], tl.float32)\n"

SECOND = """        w1 = tl.load(gate + {elements} + d[:, None]{w_mask})
        sums1 = tl.dot(x, w1, sums1{precision})
"""

SECOND_ONE = """        w1 = tl.load(gate + {elements} + d[None, :]{w_mask},
                     eviction_policy="evict_first")
        sums1 += w1.to(tl.float32) * x
"""

FOLD = "    sums1 = tl.sum(sums1, axis=1)\n"

BIAS = """    bias{part} = tl.load({name} + expert * {row} + {start} + n{n_load_mask})
    sums{part} += bias{part}.to(tl.float32){axis}
"""
