"""Gluon of products of many rows on Hopper, see `products_persistent`."""

CONSTANTS = """\
FLOAT = gl.constexpr(gl.{float})
N = gl.constexpr({n})
K = gl.constexpr({k})
DEPTH = gl.constexpr({depth})  # of K, of a step
STEPS = gl.constexpr(K // DEPTH)  # of a tile
SLOTS = gl.constexpr({slots})
SLOT_BYTES = gl.constexpr({slot_bytes})
PARTS = gl.constexpr({warpgroups})
PART = gl.constexpr({part})  # rows of a warpgroup
ROWS = gl.constexpr(PARTS * PART)  # of a tile
COLUMNS = gl.constexpr({columns})  # of a tile, of all weights
EACH = gl.constexpr({each})  # of each weight
NUM_N = gl.constexpr(N // EACH)  # tiles side by side
GROUP = gl.constexpr({group})  # rows of tiles that are walked together
PIECE = gl.constexpr({piece})  # columns that are finished at a time
TILES = gl.constexpr(gl.NVMMASharedLayout(128, 16, rank=2))
ALL_SUMS = gl.constexpr(gl.NVMMADistributedLayout([3, 0], [4, 1], [16, COLUMNS // 2, 16]))
SUMS = gl.constexpr(gl.NVMMADistributedLayout([3, 0], [4, 1], [16, {piece}, 16]))
STORES = gl.constexpr(gl.DistributedLinearLayout(
    [[0, 1], [0, 2], [0, 4], [8, 0], [0, 32]], [[0, 8], [0, 16], [1, 0], [2, 0], [4, 0]],
    [[16, 0], [32, 0]], [], [{part}, {piece}]))
BY_PARTS = gl.constexpr(gl.BlockedLayout([1, 4], [2, 16], [4, 1], [1, 0]))
"""
"""In ``STORES`` a thread has 16 bytes of a row, and a warp the rows that it has in ``SUMS``: only
lanes of a warp exchange elements between the two."""

FUNCTIONS = '''
@gluon.jit
def place_of(tile, num_m):
    """The first row and column of a tile."""
    first = tile // (GROUP * NUM_N) * GROUP
    inside = tile % (GROUP * NUM_N)
    high = gl.minimum(num_m - first, GROUP)
    return (first + inside % high) * ROWS, inside // high * EACH


@gluon.jit
def copy({x}, {weights}, x_ring, w_ring, ready, empty, num_rows):
    """Has the tensor unit fill the slots of the ring, for all tiles of the block."""
    num_m = (num_rows + ROWS - 1) // ROWS
    turn = 0
    for tile in range(gl.program_id(0), num_m * NUM_N, gl.num_programs(0)):
        row, column = place_of(tile, num_m)
        for step in range(STEPS):
            slot = turn % SLOTS
            barrier = ready.index(slot)
            mbarrier.wait(empty.index(slot), (turn // SLOTS & 1) ^ 1)
            mbarrier.expect(barrier, SLOT_BYTES)
            for i in gl.static_range(PARTS):
                tma.async_copy_global_to_shared(
                    {x}, [row + i * PART, step * DEPTH], barrier, x_ring.index(slot * PARTS + i))
{copies}
            turn += 1


@gluon.jit
def multiply(x_ring, w_ring, ready, empty, sums, turn, WHICH: gl.constexpr):
    """Steps of a tile; a slot is given back as the product after its own runs."""
    for step in range(STEPS):
        slot = turn % SLOTS
        mbarrier.wait(ready.index(slot), turn // SLOTS & 1)
        x = x_ring.index(slot * PARTS + WHICH)
        sums = warpgroup_mma(x, w_ring.index(slot).permute((1, 0)), sums, is_async=True)
        sums = warpgroup_mma_wait(1, deps=[sums])
        if step > 0:
            mbarrier.arrive(empty.index((turn + SLOTS - 1) % SLOTS), count=1)
        turn += 1
    sums = warpgroup_mma_wait(0, deps=[sums])
    mbarrier.arrive(empty.index((turn + SLOTS - 1) % SLOTS), count=1)
    return sums, turn


@gluon.jit
def halves(sums):
    """The left and the right half of columns, which stay where they are."""
    WIDTH: gl.constexpr = sums.shape[1] // 2
    return sums.reshape([PART, 2, WIDTH]).permute((0, 2, 1)).split()


@gluon.jit
def finish({given}, {others}, row, column, num_rows):
    """A piece of the result, in the registers of sums, then in those of stores."""
    m = row + gl.arange(0, PART, layout=gl.SliceLayout(1, SUMS))
    n = column + gl.arange(0, PIECE, layout=gl.SliceLayout(0, SUMS))
{epilogue}


@gluon.jit
def compute({others}, x_ring, w_ring, ready, empty, num_rows, WHICH: gl.constexpr):
    """A warpgroup's rows of all tiles of the block."""
    num_m = (num_rows + ROWS - 1) // ROWS
    turn = 0
    for tile in range(gl.program_id(0), num_m * NUM_N, gl.num_programs(0)):
        row, column = place_of(tile, num_m)
        row += WHICH * PART
{scale}\
        sums = gl.zeros([PART, COLUMNS], gl.float32, layout=ALL_SUMS)
        sums, turn = multiply(x_ring, w_ring, ready, empty, sums, turn, WHICH)
{pieces}
'''

KERNEL = '''
@gluon.jit
def NAME({signature}):
    """DOC"""
    _await_inputs()
    x_ring = gl.allocate_shared_memory(FLOAT, [SLOTS * PARTS, PART, DEPTH], TILES)
    w_ring = gl.allocate_shared_memory(FLOAT, [SLOTS, COLUMNS, DEPTH], TILES)
    ready = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(SLOTS):
        mbarrier.init(ready.index(slot), count=1)
        mbarrier.init(empty.index(slot), count=PARTS)
    fence_async_shared()
    gl.warp_specialize([
{computing}\
        (copy, ({x}, {weights}, x_ring, w_ring, ready, empty, num_rows)),
    ], [4, 4, 1], [160, 160, 24])
'''

COMPUTING = """\
        (compute, ({others}, x_ring, w_ring, ready, empty, num_rows, {part})),
"""
COPY = """\
            tma.async_copy_global_to_shared(
                {weight}, [column, step * DEPTH], barrier,
                w_ring.index(slot).slice({place} * EACH, EACH))\
"""
STORE = """\
i = row + gl.arange(0, PART, layout=gl.SliceLayout(1, STORES))
j = column + gl.arange(0, PIECE, layout=gl.SliceLayout(0, STORES))
rounded = gl.convert_layout({result}.to(FLOAT), STORES)
gl.store(o_{name} + i[:, None] * N + j[None, :], rounded, mask=(i < num_rows)[:, None])\
"""
SCALE = """\
        i = row + gl.arange(0, PART, layout=gl.SliceLayout(1, BY_PARTS))
        part = gl.arange(0, {at_once}, layout=gl.SliceLayout(0, BY_PARTS))
        squares = gl.zeros([PART, {at_once}], gl.float32, layout=BY_PARTS)
        for first in range(0, {num_parts}, {at_once}):
            squares += gl.load({squares} + i[:, None] * {num_parts} + (first + part)[None, :],
                               mask=(i < num_rows)[:, None]{inside}, other=0.0)
        scale = gl.rsqrt(gl.sum(squares, 1) / K + {eps})
        scale = gl.convert_layout(scale, gl.SliceLayout(1, SUMS))[:, None]
"""
