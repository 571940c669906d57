import pytest

from tapeout.artifact import Cubin
from tapeout.inspection.occupancy import Occupancy, occupancy_of, threads_of


def cubin(num_warps, registers, shared_bytes=0):
    counts = {"num_warps": num_warps, "registers": registers, "shared_bytes": shared_bytes}
    return Cubin(file="", assembly="", entry="", local_bytes=0, **counts)


# Of an H100, by the table in the CUDA programming guide.
@pytest.mark.parametrize(
    ("kernel", "blocks", "share", "limit"),
    [
        (cubin(4, 64), 8, 0.5, "registers"),
        (cubin(4, 65), 7, 28 / 64, "registers"),  # a warp's registers are a multiple of 256
        (cubin(1, 16), 32, 0.5, "blocks"),
        (cubin(8, 32), 8, 1.0, "warps"),
        (cubin(4, 32, 98304), 2, 8 / 64, "shared memory"),
        (cubin(4, 32, 227 << 10), 1, 4 / 64, "shared memory"),
        (cubin(4, 32, 115712), 2, 8 / 64, "shared memory"),  # with the KiB that each block takes
        (cubin(4, 32, 115713), 1, 4 / 64, "shared memory"),
    ],
)
def test_what_a_block_takes_says_how_many_run_at_once(kernel, blocks, share, limit):
    assert occupancy_of("cuda:sm_90", kernel) == Occupancy(blocks, share, limit)


def test_every_target_that_is_compiled_for_is_known():
    from tapeout.codegen.triton.targets import TARGETS

    for name, target in TARGETS.items():
        found = occupancy_of(name, cubin(4, 32, target.shared_bytes))
        assert found is not None and found.blocks == 1, name
        assert threads_of(name, cubin(4, 32)) == 4 * target.warp_size


def test_an_unknown_target_and_a_block_that_fits_nowhere_have_none():
    assert occupancy_of("cuda:sm_7", cubin(4, 32)) is None
    assert threads_of("cuda:sm_7", cubin(4, 32)) is None
    assert occupancy_of("cuda:sm_90", cubin(4, 32, 1 << 20)) is None
    assert occupancy_of("cuda:sm_90", cubin(0, 32)) is None
