"""Gluon of products of many rows on Hopper, see `persistent_body`."""

CONSTANTS = """\
FLOAT = gl.constexpr(gl.{float})
N = gl.constexpr({n})
K = gl.constexpr({k})
DEPTH = gl.constexpr({depth})  # of K, of a step
STEPS = gl.constexpr((K + DEPTH - 1) // DEPTH)  # of a tile
SLOTS = gl.constexpr({slots})
PARTS = gl.constexpr({warpgroups})
PART = gl.constexpr({part})  # rows of a warpgroup
ROWS = gl.constexpr(PARTS * PART)  # of a tile
COLUMNS = gl.constexpr({columns})  # of a tile, of all weights
EACH = gl.constexpr({each})  # of each weight
NUM_N = gl.constexpr((N + EACH - 1) // EACH)  # tiles side by side
PART_BYTES = gl.constexpr(PART * DEPTH * 2)  # of a step
WEIGHT_BYTES = gl.constexpr(COLUMNS * DEPTH * 2)
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
{places}

@gluon.jit
def tile_of(lap):
    """That a block takes after so many others."""
    return lap * gl.num_programs(0) + gl.program_id(0)


@gluon.jit
def count_laps({told}):
    """Tiles of a block."""
    return (count_tiles({told}) - gl.program_id(0) + gl.num_programs(0) - 1) // gl.num_programs(0)


@gluon.jit
def copy({x}, {weights}, {told}, x_ring, w_ring, ready, empty):
    """Has the tensor unit fill the slots of the ring, for all tiles of the block."""
    for lap in range(count_laps({told})):
        row, end, column, expert = place_of(tile_of(lap), {told})
        parts = (gl.minimum(end - row, ROWS) + PART - 1) // PART
        for step in range(STEPS):
            turn = lap * STEPS + step
            slot = turn % SLOTS
            barrier = ready.index(slot)
            mbarrier.wait(empty.index(slot), (turn // SLOTS & 1) ^ 1)
            for i in gl.static_range(PARTS):
                mbarrier.expect(barrier, WEIGHT_BYTES + (i + 1) * PART_BYTES, pred=parts == i + 1)
            for i in gl.static_range(PARTS):
                tma.async_copy_global_to_shared(
                    {x}, [row + i * PART, step * DEPTH], barrier, x_ring.index(slot * PARTS + i),
                    pred=i < parts)
{copies}


@gluon.jit
def multiply(x_ring, w_ring, ready, empty, sums, lap, WHICH: gl.constexpr):
    """Steps of a tile; a slot is given back as the product after its own runs."""
    for step in range(STEPS):
        turn = lap * STEPS + step
        slot = turn % SLOTS
        mbarrier.wait(ready.index(slot), turn // SLOTS & 1)
        x = x_ring.index(slot * PARTS + WHICH)
        sums = warpgroup_mma(x, w_ring.index(slot).permute((1, 0)), sums, is_async=True)
        sums = warpgroup_mma_wait(1, deps=[sums])
        if step > 0:
            mbarrier.arrive(empty.index((turn + SLOTS - 1) % SLOTS), count=1)
    sums = warpgroup_mma_wait(0, deps=[sums])
    mbarrier.arrive(empty.index((lap * STEPS + STEPS - 1) % SLOTS), count=1)
    return sums


@gluon.jit
def pass_by(ready, empty, lap):
    """Steps of a tile that has no rows for a warpgroup."""
    for step in range(STEPS):
        turn = lap * STEPS + step
        mbarrier.wait(ready.index(turn % SLOTS), turn // SLOTS & 1)
        mbarrier.arrive(empty.index(turn % SLOTS), count=1)


@gluon.jit
def halves(sums):
    """The left and the right half of columns, which stay where they are."""
    WIDTH: gl.constexpr = sums.shape[1] // 2
    return sums.reshape([PART, 2, WIDTH]).permute((0, 2, 1)).split()


@gluon.jit
def finish({given}, {others}, row, end, column, expert):
    """A piece of the result, in the registers of sums, then in those of stores."""
    m = row + gl.arange(0, PART, layout=gl.SliceLayout(1, SUMS))
    n = column + gl.arange(0, PIECE, layout=gl.SliceLayout(0, SUMS))
{epilogue}


@gluon.jit
def compute({others}, {told}, x_ring, w_ring, ready, empty, WHICH: gl.constexpr):
    """A warpgroup's rows of all tiles of the block."""
    for lap in range(count_laps({told})):
        row, end, column, expert = place_of(tile_of(lap), {told})
        row += WHICH * PART
        if row < end:
{scale}\
            sums = gl.zeros([PART, COLUMNS], gl.float32, layout=ALL_SUMS)
            sums = multiply(x_ring, w_ring, ready, empty, sums, lap, WHICH)
{pieces}
        else:
            pass_by(ready, empty, lap)
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
        (copy, ({x}, {weights}, {told}, x_ring, w_ring, ready, empty)),
    ], [4, 4, 1], [160, 160, 24])
'''

COMPUTING = """\
        (compute, ({others}, {told}, x_ring, w_ring, ready, empty, {part})),
"""
COPY = """\
            tma.async_copy_global_to_shared(
                {weight}, [{row}, step * DEPTH], barrier,
                w_ring.index(slot).slice({place} * EACH, EACH))\
"""
STORE = """\
i = row + gl.arange(0, PART, layout=gl.SliceLayout(1, STORES))
j = column + gl.arange(0, PIECE, layout=gl.SliceLayout(0, STORES))
rounded = gl.convert_layout({result}.to(FLOAT), STORES)
gl.store({target} + i[:, None] * N + j[None, :], rounded, mask=(i < end)[:, None]{inside})\
"""

BY_ROWS = '''\
GROUP = gl.constexpr({group})  # rows of tiles that are walked together


@gluon.jit
def count_tiles(num_rows):
    """Tiles of so many rows."""
    return (num_rows + ROWS - 1) // ROWS * NUM_N


@gluon.jit
def place_of(tile, num_rows):
    """A tile's first row, the end of rows, and its first column; all are of one expert."""
    first = tile // (GROUP * NUM_N) * GROUP
    inside = tile % (GROUP * NUM_N)
    high = gl.minimum((num_rows + ROWS - 1) // ROWS - first, GROUP)
    return (first + inside % high) * ROWS, num_rows, inside // high * EACH, 0
'''
"""Which tiles there are of one product."""

SCALE = """\
            i = row + gl.arange(0, PART, layout=gl.SliceLayout(1, BY_PARTS))
            part = gl.arange(0, {at_once}, layout=gl.SliceLayout(0, BY_PARTS))
            squares = gl.zeros([PART, {at_once}], gl.float32, layout=BY_PARTS)
            for first in range(0, {num_parts}, {at_once}):
                squares += gl.load({squares} + i[:, None] * {num_parts} + (first + part)[None, :],
                                   mask=(i < end)[:, None]{inside}, other=0.0)
            scale = gl.rsqrt(gl.sum(squares, 1) / K + {eps})
            scale = gl.convert_layout(scale, gl.SliceLayout(1, SUMS))[:, None]
"""
