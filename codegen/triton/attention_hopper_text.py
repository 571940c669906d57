"""Gluon of prefill attention for Hopper.

One warp has the tensor unit copy blocks of keys and of values in turn into a ring of slots in
shared memory. Two or three warpgroups compute, 64 queries each: the products of a block's scores
are made while those of the block before are multiplied with its values.
"""

CONSTANTS = """\
HEADS = gl.constexpr({H})
KEY_HEADS = gl.constexpr({Hk})
GROUP = gl.constexpr({group})  # query heads of a key head
PADDED_GROUP = gl.constexpr({padded_group})
WIDTH = gl.constexpr({D})  # of a head
DIM = gl.constexpr({dim})  # of it in shared memory: beyond its width are zeros
PAGE = gl.constexpr({page})
FACTOR = gl.constexpr({factor})  # turns scores into exponents of two
FLOAT = gl.constexpr(gl.{float})
TOKENS = gl.constexpr({tokens})  # of a tile
ROWS = gl.constexpr(64)  # of a warpgroup
MADE = gl.constexpr({made})  # of these, whose queries are made at a time
BLOCK = gl.constexpr({block})  # keys
SLOTS = gl.constexpr(4)
PARTS = gl.constexpr({warpgroups})
BOX = gl.constexpr({box})  # elements of a row that are copied at a time
SWIZZLED = gl.constexpr(gl.NVMMASharedLayout(128, 16, rank=2))
SCORES = gl.constexpr(gl.NVMMADistributedLayout([3, 0], [4, 1], [16, {block}, 16]))
SUMS = gl.constexpr(gl.NVMMADistributedLayout([3, 0], [4, 1], [16, {dim}, 16]))
WEIGHTS = gl.constexpr(gl.DotOperandLayout(0, SUMS.value, 2))
LOADS = gl.constexpr(gl.BlockedLayout([1, 8], [{load_rows}, {load_columns}], [4, 1], [1, 0]))
"""

FUNCTIONS = '''
@gluon.jit
def copy_blocks(cache, p_pages, head, num_blocks, last_page, ring, ready, empty):
    """Fills the slots of the ring, page by page; the pages after the last are the last again."""
    boxes = ring._reinterpret(FLOAT, [SLOTS * (DIM // BOX) * (BLOCK // PAGE), PAGE, BOX], SWIZZLED)
    for block in range(num_blocks):
        for which in gl.static_range(2):
            turn = 2 * block + which
            slot = turn % SLOTS
            mbarrier.wait(empty.index(slot), (turn // SLOTS & 1) ^ 1)
            mbarrier.expect(ready.index(slot), BLOCK * DIM * 2)
            for i in gl.static_range(BLOCK // PAGE):
                page = gl.load(p_pages + gl.minimum(block * (BLOCK // PAGE) + i, last_page))
                row = (page * (2 * KEY_HEADS) + which * KEY_HEADS + head) * PAGE
                for j in gl.static_range(DIM // BOX):
                    box = boxes.index((slot * (DIM // BOX) + j) * (BLOCK // PAGE) + i)
                    tma.async_copy_global_to_shared(cache, [row, j * BOX], ready.index(slot), box)


@gluon.jit
def clear_around(values, first, end, cleared, PART: gl.constexpr):
    """Puts zeros in places that are not the sequence's own, for a weight of zero times NaN is NaN.
    One warpgroup does, and all wait for it: another one's stores would bring back what it found."""
    if PART == 0:
        rows = gl.arange(0, BLOCK, layout=gl.SliceLayout(1, LOADS))
        found = values.load(LOADS)
        own = (rows >= first) & (rows < end)
        values.store(gl.where(own[:, None], found, gl.zeros_like(found)))
        fence_async_shared()
        mbarrier.arrive(cleared, count=1)
    mbarrier.wait(cleared, 0)


@gluon.jit
def soften(scores, top, total, positions, keys, IS_MASKED: gl.constexpr):
    """Weights of a block of keys, and what is left of what was summed before."""
{capped}    if IS_MASKED:
        scores = gl.where({seen}, scores, float("-inf"))
    new_top = gl.maximum(top, gl.max(scores, 1) * FACTOR)
    weights = gl.exp2(scores * FACTOR - new_top[:, None])
    fade = gl.exp2(top - new_top)
    return weights, new_top, total * fade + gl.sum(weights, 1), fade


@gluon.jit
def attend_block(q, ring, ready, empty, block, weights, top, total, sums, positions, keys,
                 IS_MASKED: gl.constexpr):
    """Scores of a block, while the values of the block before are summed."""
    k_slot = 2 * block % SLOTS
    v_slot = (2 * block - 1) % SLOTS
    mbarrier.wait(ready.index(k_slot), 2 * block // SLOTS & 1)
    zero = gl.zeros([ROWS, BLOCK], gl.float32, layout=SCORES)
    k = ring.index(k_slot).permute((1, 0))
    scores = warpgroup_mma(q, k, zero, use_acc=False, is_async=True)
    mbarrier.wait(ready.index(v_slot), (2 * block - 1) // SLOTS & 1)
    sums = warpgroup_mma(weights, ring.index(v_slot), sums, is_async=True)
    scores = warpgroup_mma_wait(1, deps=[scores])
    mbarrier.arrive(empty.index(k_slot), count=1)
    made, top, total, fade = soften(scores, top, total, positions, block * BLOCK + keys, IS_MASKED)
    sums, weights = warpgroup_mma_wait(0, deps=[sums, weights])
    mbarrier.arrive(empty.index(v_slot), count=1)
    sums = sums * gl.convert_layout(fade, gl.SliceLayout(1, SUMS))[:, None]
    return gl.convert_layout(made.to(FLOAT), WEIGHTS), top, total, sums


@gluon.jit
def places(rows, num_left):
    """Token and head of rows of a tile, within it, and which of them are queries."""
    token, head = rows // PADDED_GROUP, rows % PADDED_GROUP
    real = (token < num_left) & (head < GROUP)
    return token[:, None], head[:, None], real[:, None]


@gluon.jit
def attend({made_of}, o_tile, queries, ring, ready, empty, cleared, first_token, first_head,
           num_left, position, begin, num_full, num_blocks, PART: gl.constexpr):
    """A warpgroup's queries over all blocks, of which the first ``num_full`` need no mask for what
    comes after a query. Keys before ``begin`` are not the sequence's own."""
    for i in gl.static_range(ROWS // MADE):
        rows = PART * ROWS + i * MADE + gl.arange(0, MADE, layout=gl.SliceLayout(1, LOADS))
        token, heads, real = places(rows, num_left)
        token, heads = first_token + token, first_head + heads
{query}        queries.index(PART).slice(i * MADE, MADE).store(q)
    fence_async_shared()
    q = queries.index(PART)
    rows = PART * ROWS + gl.arange(0, ROWS, layout=gl.SliceLayout(1, SCORES))
    positions = position + rows // PADDED_GROUP
    keys = gl.arange(0, BLOCK, layout=gl.SliceLayout(0, SCORES))
    top = gl.full([ROWS], -3e38, gl.float32, layout=gl.SliceLayout(1, SCORES))
    total = gl.zeros([ROWS], gl.float32, layout=gl.SliceLayout(1, SCORES))
    sums = gl.zeros([ROWS, DIM], gl.float32, layout=SUMS)
    mbarrier.wait(ready.index(0), 0)
    zero = gl.zeros([ROWS, BLOCK], gl.float32, layout=SCORES)
    k = ring.index(0).permute((1, 0))
    scores = warpgroup_mma(q, k, zero, use_acc=False, is_async=True)
    scores = warpgroup_mma_wait(0, deps=[scores])
    mbarrier.arrive(empty.index(0), count=1)
    made, top, total, fade = soften(scores, top, total, positions, keys, True)
    weights = gl.convert_layout(made.to(FLOAT), WEIGHTS)
    first = 1
{clear}{far}{full}    for block in range(first, num_blocks):
        weights, top, total, sums = attend_block(
            q, ring, ready, empty, block, weights, top, total, sums, positions, keys, True)
    turn = 2 * num_blocks - 1
    values = ring.index(turn % SLOTS)
    mbarrier.wait(ready.index(turn % SLOTS), turn // SLOTS & 1)
    num_written = position + num_left - (num_blocks - 1) * BLOCK
    if num_written < BLOCK:
        clear_around(values, 0, num_written, cleared.index(1), PART)
    sums = warpgroup_mma(weights, values, sums, is_async=True)
    sums = warpgroup_mma_wait(0, deps=[sums])
    total = gl.convert_layout(total, gl.SliceLayout(1, SUMS))[:, None]
    rows = PART * ROWS + gl.arange(0, ROWS, layout=gl.SliceLayout(1, SUMS))
    d = gl.arange(0, DIM, layout=gl.SliceLayout(0, SUMS))[None, :]
    token, heads, real = places(rows, num_left)
{sinks}    result = (sums / gl.maximum(total, 1e-30)).to(FLOAT)
    gl.store(o_tile + (token * HEADS + heads) * WIDTH + d, result, mask=real{d_mask})
'''

ATTENDING = """\
            (attend, ({made_of}, o_tile, queries, ring, ready, empty, cleared, first_token,
                      first_head, num_left, position, begin, num_full, num_blocks, {part})),
"""

KERNEL = '''
@gluon.jit
def NAME({names}, num_sequences, num_table_columns):
    """DOC"""
{aliases}    head = gl.program_id(0)
    tile = gl.num_programs(1) - 1 - gl.program_id(1)  # later ones have more keys, and begin first
    low = 0
    high = num_sequences  # the last sequence whose first tile is not after this one
    while high - low > 1:
        middle = (low + high) // 2
        after = gl.load(p_query_start + middle) // TOKENS + middle > tile
        low, high = gl.where(after, low, middle), gl.where(after, middle, high)
    sequence = low
    query_start = gl.load(p_query_start + sequence)
    num_queries = gl.load(p_query_start + sequence + 1) - query_start
    query = (tile - query_start // TOKENS - sequence) * TOKENS
    if query < num_queries:
        context = gl.load(p_context_lengths + sequence) - num_queries
        p_pages = p_table + sequence * num_table_columns
        begin = 0
{skip}        position = context + query
        num_left = num_queries - query
        first_token = query_start + query
        first_head = head * GROUP
        o_tile = o_out + (first_token * HEADS + first_head) * WIDTH
        end = position + gl.minimum(num_left, TOKENS)
        num_full = (position + 1) // BLOCK
        num_blocks = (end + BLOCK - 1) // BLOCK
        swizzled: gl.constexpr = gl.NVMMASharedLayout.get_default_for([BLOCK, DIM], FLOAT)
        ring = gl.allocate_shared_memory(FLOAT, [SLOTS, BLOCK, DIM], swizzled)
        queries = gl.allocate_shared_memory(FLOAT, [PARTS, ROWS, DIM], swizzled)
        ready = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
        empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
        cleared = gl.allocate_shared_memory(gl.int64, [2, 1], mbarrier.MBarrierLayout())
        for end_of_values in gl.static_range(2):
            mbarrier.init(cleared.index(end_of_values), count=1)
        for slot in gl.static_range(SLOTS):
            mbarrier.init(ready.index(slot), count=1)
            mbarrier.init(empty.index(slot), count=PARTS)
        fence_async_shared()
        last_page = (context + num_queries - 1) // PAGE
        gl.warp_specialize([
{attending}            (copy_blocks, (p_cache, p_pages, head, num_blocks, last_page, ring, ready,
                           empty)),
        ], {warps}, {registers})
'''
