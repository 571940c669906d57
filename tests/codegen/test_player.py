import numpy as np
import pytest
from region_kernels import player_library

from tapeout.codegen.cpp.library import build_libraries
from tapeout.runtime.player import Launch, Player, PlayerError

SOURCE = """#include "region.h"
using namespace tapeout;
// Each worker adds its share of a row to the next row: wrong unless launches are kept apart.
TAPEOUT_KERNEL(spread) {
    auto *from = (const i64 *)launch->buffers[0];
    auto *to = (i64 *)launch->buffers[1];
    const i64 n = launch->scalars[0];
    for (i64 unit; (unit = next_unit(launch->ticket)) < n;)
        to[unit] = from[n - 1 - unit] + launch->scalars[1];
}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    return build_libraries({"a.cpp": SOURCE}, ["x86-64-v3"], folder / "objects", folder)[
        "x86-64-v3"
    ]


def chain(rows, kernel="spread"):
    """Each launch reads the row before; scalars are T and 1 + 2 S."""
    return [
        Launch(kernel, [a.ctypes.data, b.ctypes.data], [(0, 1, 0, 0, 0), (1, 0, 2, 0, 0)])
        for a, b in zip(rows[:-1], rows[1:], strict=True)
    ]


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_launches_run_in_order_and_each_ends_before_the_next(kernels, num_threads):
    player = Player(player_library(), kernels, num_threads)
    rows = np.zeros((201, 50), np.int64)
    tape = player.add_tape(chain(rows))
    for repetition in range(3):
        rows[1:] = 0
        player.run(tape, (50, 3, 0, 0))
        assert (rows[:, 0] == 7 * np.arange(201)).all(), repetition
    player.close()


def test_a_part_of_a_tape_can_be_played(kernels):
    player = Player(player_library(), kernels, 2)
    rows = np.zeros((11, 4), np.int64)
    tape = player.add_tape(chain(rows))
    player.run_part(tape, (4, 0, 0, 0), 0, 3)
    assert rows[3].any() and not rows[4].any()
    player.run_part(tape, (4, 0, 0, 0), 4, 5)
    assert not rows[4].any() and rows[5].any()
    player.close()


def test_a_kernel_that_is_not_in_the_library_is_named(kernels):
    player = Player(player_library(), kernels, 1)
    with pytest.raises(PlayerError, match="no_such_kernel"):
        player.add_tape(chain(np.zeros((2, 4), np.int64), "no_such_kernel"))
    player.close()


def test_a_library_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlayerError, match=r"absent\.so"):
        Player(player_library(), tmp_path / "absent.so", 2)
