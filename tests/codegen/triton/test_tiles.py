import pytest

from tapeout.codegen.triton.tiles import NUM_MULTIPROCESSORS, choose_tile, num_blocks
from tapeout.ir.types import DType


@pytest.mark.parametrize("rows", [2, 16, 17, 64, 256])
@pytest.mark.parametrize("num_weights", [1, 2])
@pytest.mark.parametrize(("n", "k"), [(2048, 2048), (3072, 2048), (4096, 14336), (14336, 4096)])
def test_tiles_of_few_rows_give_most_multiprocessors_a_block_and_divide_k(n, k, num_weights, rows):
    tile = choose_tile(rows, n, k, num_weights, DType.BF16).chosen
    assert num_blocks(tile, rows, n) >= NUM_MULTIPROCESSORS // 2
    assert tile.splits == 1 or k % (tile.splits * tile.depth) == 0
    assert tile.rows >= min(rows, 64)


@pytest.mark.parametrize(
    ("rows", "n", "num_weights", "wanted"),
    [
        (512, 2048, 1, (64, 128)),
        (512, 3072, 1, (128, 128)),
        (512, 4096, 1, (128, 128)),
        (1024, 2048, 1, (128, 128)),
        (1024, 3072, 1, (128, 256)),
        (1024, 4096, 1, (128, 256)),
        (1024, 6144, 1, (128, 128)),
        (1024, 8192, 2, (128, 128)),
        (None, 2048, 1, (128, 256)),
        (None, 14336, 2, (128, 128)),
    ],
)
def test_many_rows_take_the_tile_whose_waves_were_the_shortest(rows, n, num_weights, wanted):
    tile = choose_tile(rows, n, 2048, num_weights, DType.BF16).chosen
    assert tile.boxed and (tile.rows, tile.columns) == wanted


@pytest.mark.parametrize(
    ("rows", "n", "wanted"),
    [
        (32, 6144, (32, 64, 1, False)),  # 96 blocks
        (32, 4096, (32, 32, 1, False)),
        (32, 2048, (32, 32, 2, False)),
        (128, 6144, (64, 128, 1, True)),
        (128, 4096, (64, 128, 2, False)),  # too few for boxes with K whole
        (256, 6144, (128, 128, 1, True)),
        (256, 4096, (64, 128, 1, True)),
    ],
)
def test_larger_tiles_are_taken_where_they_fill_a_wave_with_k_whole(rows, n, wanted):
    tile = choose_tile(rows, n, 4096, 1, DType.BF16).chosen
    assert (tile.rows, tile.columns, tile.splits, tile.boxed) == wanted


@pytest.mark.parametrize("rows", [300, 512, 1024])
@pytest.mark.parametrize(("n", "k"), [(1024, 8192), (2048, 8192), (4096, 14336), (576, 1536)])
def test_k_is_shared_only_by_blocks_that_run_at_once(rows, n, k):
    tile = choose_tile(rows, n, k, 1, DType.BF16).chosen
    num_blocks = -(-rows // tile.rows) * -(-n // tile.columns) * tile.splits
    assert tile.splits == 1 or num_blocks <= 198
    assert k % (tile.depth * tile.splits) == 0


def test_a_step_of_any_size_shares_no_k():
    assert choose_tile(None, 256, 1 << 16, 1, DType.BF16).chosen.splits == 1


@pytest.mark.parametrize(("k", "dtype"), [(2044, DType.BF16), (2048, DType.F32)])
def test_rows_that_no_tensor_map_can_describe_and_floats_of_32_bits_are_not_boxed(k, dtype):
    assert not choose_tile(None, 2048, k, 1, dtype).chosen.boxed
