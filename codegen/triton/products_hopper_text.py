"""Gluon of products whose weights never stop streaming, see `products_hopper`."""

CONSTANTS = """\
FLOAT = gl.constexpr(gl.{float})
NUM_WEIGHTS = gl.constexpr({num_weights})
ROWS = gl.constexpr({rows})  # of x
COLUMNS = gl.constexpr({columns})  # of a weight's tile
LEFT = gl.constexpr({left})  # columns of all weights
BOX = gl.constexpr({box})  # of K, that are copied at a time
BOXES = gl.constexpr({boxes})  # of a step
SLOTS = gl.constexpr({slots})
AHEAD = gl.constexpr({ahead})  # of these, whose weights are on the way at once
IS_REUSED = gl.constexpr({is_reused})  # whether a block has more steps than slots
WEIGHT_BYTES = gl.constexpr({weight_bytes})  # of a slot
X_BYTES = gl.constexpr({x_bytes})
STEPS = gl.constexpr({steps})  # of a tile
SHARE = gl.constexpr({share})  # steps of a block
TOTAL = gl.constexpr({total})  # steps of all blocks
PARTS = gl.constexpr({most_parts})  # of a tile, the most
PART = gl.constexpr({part_floats})  # floats that a block leaves
SUMS = gl.constexpr(gl.NVMMADistributedLayout([3, 0], [4, 1], [16, {rows}, 16]))
TILES = gl.constexpr(gl.NVMMASharedLayout(128, 16, rank=2))
LOADS = gl.constexpr(gl.BlockedLayout([1, 8], [4, 8], [4, 1], [1, 0]))
"""

FUNCTIONS = '''
@gluon.jit
def await_slot(empty, turn):
    """The slot of a turn, once the turn that had it before has used it."""
    if IS_REUSED:
        mbarrier.wait(empty.index(turn % SLOTS), (turn // SLOTS & 1) ^ 1)
    return turn % SLOTS


@gluon.jit
def add_up(places, num_parts, zeros):
    """What blocks have left of a tile, in order."""
    for part in gl.static_range(PARTS):
        zeros += gl.load(places + part * PART, mask=part < num_parts, other=0.0,
                         cache_modifier=".cg")
    return zeros
'''

KERNEL = '''
@gluon.jit
def copy_weights({weights}, boxes, ready, empty, first, end):
    """Keeps the ring full; weights do not wait for the launch before."""
    for step in range(first, end):
        turn = step - first
        if AHEAD < SLOTS:
            if turn >= AHEAD:
                mbarrier.wait(ready.index((turn - AHEAD) % SLOTS), (turn - AHEAD) // SLOTS & 1)
        slot = await_slot(empty, turn)
        barrier = ready.index(slot)
        mbarrier.expect(barrier, WEIGHT_BYTES)
        row, column = step // STEPS * COLUMNS, step % STEPS * (BOX * BOXES)
        for i in gl.static_range(BOXES):
            place = (slot * BOXES + i) * NUM_WEIGHTS
{copies}


@gluon.jit
def copy_x(p_x, x_ring, x_ready, empty, first, end):
    """Fills the same slots with x, once it is there."""
    _await_inputs()
    for step in range(first, end):
        slot = await_slot(empty, step - first)
        barrier = x_ready.index(slot)
        mbarrier.expect(barrier, X_BYTES)
        for i in gl.static_range(BOXES):
            column = step % STEPS * (BOX * BOXES) + i * BOX
            tma.async_copy_global_to_shared(
                p_x, [0, column], barrier, x_ring.index(slot * BOXES + i))


@gluon.jit
def multiply_steps({signature}, boxes, x_ring, ready, x_ready, empty, first, end):
    """Sums of a block's tiles or its parts of them, and what is made of those."""
    _await_inputs()
{load_squares}    ring = boxes._reinterpret(FLOAT, [SLOTS * BOXES, LEFT, BOX], TILES)
    m = gl.arange(0, ROWS, layout=gl.SliceLayout(0, SUMS))
    i = gl.arange(0, LEFT, layout=gl.SliceLayout(1, SUMS))
    begin = first
    while begin < end:
        tile = begin // STEPS
        stop = gl.minimum((tile + 1) * STEPS, end)
        sums = gl.zeros([LEFT, ROWS], gl.float32, layout=SUMS)
{zero_squares}        for step in range(begin, stop):
            turn = step - first
            slot = turn % SLOTS
            mbarrier.wait(x_ready.index(slot), turn // SLOTS & 1)
            mbarrier.wait(ready.index(slot), turn // SLOTS & 1)
            for box in gl.static_range(BOXES):
                x = x_ring.index(slot * BOXES + box)
                sums = warpgroup_mma(ring.index(slot * BOXES + box), x.permute((1, 0)), sums,
                                     is_async=True)
{add_squares}            sums = warpgroup_mma_wait(0, deps=[sums])
            if IS_REUSED:
                mbarrier.arrive(empty.index(slot), count=1)
        begin = stop
{sum_squares}{finish}

@gluon.jit
def NAME({signature}):
    """DOC"""
    _let_next_begin()
    boxes = gl.allocate_shared_memory(FLOAT, [SLOTS * BOXES * NUM_WEIGHTS, COLUMNS, BOX], TILES)
    x_ring = gl.allocate_shared_memory(FLOAT, [SLOTS * BOXES, ROWS, BOX], TILES)
    ready = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    x_ready = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(SLOTS):
        mbarrier.init(ready.index(i), count=1)
        mbarrier.init(x_ready.index(i), count=1)
        if IS_REUSED:
            mbarrier.init(empty.index(i), count=1)
    fence_async_shared()
    first = gl.program_id(0) * SHARE
    end = gl.minimum(first + SHARE, TOTAL)
    gl.warp_specialize([
        (multiply_steps, ({signature}, boxes, x_ring, ready, x_ready, empty, first, end)),
        (copy_weights, ({weights}, boxes, ready, empty, first, end)),
        (copy_x, ({x}, x_ring, x_ready, empty, first, end)),
    ], [1, 1], [40, 40])
'''

LOAD_SQUARES = """\
    row = gl.arange(0, ROWS, layout=gl.SliceLayout(1, LOADS))[:, None]
    part = gl.arange(0, {padded_parts}, layout=gl.SliceLayout(0, LOADS))[None, :]
    squares = gl.load({source} + row * {num_parts} + part, mask=(row < num_rows){inside}, other=0.0)
"""
SUM_OF_SQUARES = "gl.convert_layout(gl.sum(squares, 1), gl.SliceLayout(0, SUMS))"

ZERO_SQUARES = """\
        squares = gl.zeros([ROWS, BOX], gl.float32, layout=LOADS)
"""
ADD_SQUARES = """\
                loaded = x.load(LOADS).to(gl.float32)
                squares += loaded * loaded
"""
SUM_SQUARES = f"        squares = {SUM_OF_SQUARES}\n"

SHARED = """\
        first_block = tile * STEPS // SHARE
        num_parts = ((tile + 1) * STEPS - 1) // SHARE - first_block + 1
        ticket = num_parts - 1
        if num_parts > 1:
            places = w_sums + tile * (PARTS * PART)
            mine = places + (gl.program_id(0) - first_block) * PART
            ij = i[:, None] * ROWS + m[None, :]
            gl.store(mine + ij, sums)
{leave_squares}            gl.thread_barrier()
            ticket = gl.atomic_add(w_tickets + tile, 1, sem="acq_rel")
            if ticket == num_parts - 1:
                gl.store(w_tickets + tile, 0)
                sums = add_up(places + ij, num_parts, gl.zeros_like(sums))
{gather_squares}        if ticket == num_parts - 1:
"""
LEAVE_SQUARES = """\
            gl.store(mine + LEFT * ROWS + m, squares)
"""
GATHER_SQUARES = """\
                squares = add_up(places + LEFT * ROWS + m, num_parts, gl.zeros_like(squares))
"""
COPY = """\
            tma.async_copy_global_to_shared(
                {weight}, [row, column + i * BOX], barrier, boxes.index(place + {place}))\
"""
WHOLE = """\
n = tile * COLUMNS + gl.arange(0, COLUMNS, layout=gl.SliceLayout(1, SUMS))
sums0 = sums
"""
HALVES = """\
n = tile * COLUMNS + gl.arange(0, COLUMNS, layout=gl.SliceLayout(1, SUMS))
sums0, sums1 = sums.reshape([2, COLUMNS, ROWS]).permute((1, 2, 0)).split()
sums0 = gl.convert_layout(sums0, SUMS, assert_trivial=True)
sums1 = gl.convert_layout(sums1, SUMS, assert_trivial=True)
"""
