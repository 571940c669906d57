import pytest

from tapeout.codegen.triton.tiles import NUM_MULTIPROCESSORS, choose_tile, num_blocks
from tapeout.ir.types import DType


@pytest.mark.parametrize("rows", [2, 16, 17, 64])
@pytest.mark.parametrize("num_weights", [1, 2])
@pytest.mark.parametrize(("n", "k"), [(2048, 2048), (3072, 2048), (4096, 14336), (14336, 4096)])
def test_tiles_of_few_rows_give_most_multiprocessors_a_block_and_divide_k(n, k, num_weights, rows):
    tile = choose_tile(rows, n, k, num_weights, DType.BF16).chosen
    assert num_blocks(tile, rows, n) >= NUM_MULTIPROCESSORS // 2
    assert tile.splits == 1 or k % (tile.splits * tile.depth) == 0
    assert tile.rows >= min(rows, 64)


@pytest.mark.parametrize(
    ("k", "num_weights", "columns", "depth"),
    [(1024, 1, 4, 1024), (2048, 1, 2, 1024), (2048, 2, 1, 1024), (4096, 1, 2, 2048)]
    + [(14336, 1, 2, 2048), (576, 1, 4, 1024)],
)
def test_a_row_alone_takes_so_many_weights_that_much_of_them_fits_in_registers(
    k, num_weights, columns, depth
):
    tile = choose_tile(1, 4096, k, num_weights, DType.BF16).chosen
    assert (tile.columns, tile.depth) == (columns, depth)


@pytest.mark.parametrize(
    ("rows", "n", "k", "num_weights", "wanted"),
    [
        (128, 2048, 2048, 1, "64x64"),
        (128, 3072, 2048, 1, "64x64"),
        (128, 8192, 2048, 2, "128x128"),
        (128, 4096, 4096, 1, "64x64"),
        (128, 6144, 4096, 1, "64x128"),
        (128, 4096, 14336, 1, "64x128 by 2"),
        (128, 14336, 4096, 2, "128x256"),
        (256, 2048, 8192, 1, "64x128 by 2"),
        (256, 4096, 4096, 1, "64x128"),
        (256, 4096, 14336, 1, "64x128"),
        (256, 6144, 4096, 1, "128x128"),
        (256, 8192, 2048, 2, "128x256"),
        (256, 128256, 4096, 1, "128x256"),
        (512, 2048, 8192, 1, "64x128"),
        (512, 4096, 4096, 1, "128x128"),
        (512, 14336, 4096, 2, "128x128"),
        (1024, 2048, 2048, 1, "128x128"),
        (1024, 3072, 2048, 1, "128x256"),
        (1024, 4096, 4096, 1, "128x256"),
        (1024, 6144, 4096, 1, "128x128"),
        (1024, 8192, 2048, 2, "128x256"),
        (None, 2048, 2048, 1, "128x256"),
        (None, 14336, 4096, 2, "128x256"),
    ],
)
def test_more_than_64_rows_take_the_tile_that_was_the_fastest_or_near_it(
    rows, n, k, num_weights, wanted
):
    tile = choose_tile(rows, n, k, num_weights, DType.BF16).chosen
    by = f" by {tile.splits}" if tile.splits > 1 else ""
    assert tile.boxed and f"{tile.rows}x{tile.columns * num_weights}{by}" == wanted


@pytest.mark.parametrize(("n", "wanted"), [(6144, (64, 1)), (4096, (32, 1)), (2048, (32, 2))])
def test_32_rows_take_the_larger_tiles_where_they_fill_a_wave_with_k_whole(n, wanted):
    tile = choose_tile(32, n, 4096, 1, DType.BF16).chosen
    assert (tile.columns, tile.splits) == wanted


@pytest.mark.parametrize("rows", [65, 128, 300, 1024])
@pytest.mark.parametrize(("n", "k"), [(1024, 8192), (2048, 8192), (4096, 14336), (576, 1536)])
def test_k_is_shared_only_by_blocks_that_run_at_once(rows, n, k):
    tile = choose_tile(rows, n, k, 1, DType.BF16).chosen
    assert tile.splits == 1 or num_blocks(tile, rows, n) <= NUM_MULTIPROCESSORS
    assert k % (tile.depth * tile.splits) == 0


def test_a_step_of_any_size_shares_no_k():
    assert choose_tile(None, 256, 1 << 16, 1, DType.BF16).chosen.splits == 1


@pytest.mark.parametrize(("k", "dtype"), [(2044, DType.BF16), (2048, DType.F32)])
def test_rows_that_no_tensor_map_can_describe_and_floats_of_32_bits_are_not_boxed(k, dtype):
    assert not choose_tile(None, 2048, k, 1, dtype).chosen.boxed


@pytest.mark.parametrize("rows", [33, 64, 128, 256, None])
@pytest.mark.parametrize("num_weights", [1, 2])
@pytest.mark.parametrize(("n", "k"), [(1024, 1024), (2560, 2560), (576, 1536), (128256, 2048)])
@pytest.mark.parametrize("dtype", [DType.BF16, DType.F32])
def test_tiles_of_too_few_columns_are_no_choice(n, k, num_weights, rows, dtype):
    ruled = choose_tile(rows, n, k, num_weights, dtype, least_columns=64)
    assert all(tile.columns >= 64 for tile in (ruled.chosen, *ruled.others))
