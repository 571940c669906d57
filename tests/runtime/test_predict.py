import msgspec
import pytest

from tapeout.artifact import GridTerm, Kernel, Launch, Target, Weights
from tapeout.runtime.cuda.card_limits import CARDS
from tapeout.runtime.device_limits import DeviceLimits
from tapeout.runtime.predict import (
    CONSTANTS,
    bounds_of,
    predict_launches,
    predict_step,
    seconds_of,
)
from tapeout.runtime.step_shape import decode_shape, prompt_shape

CARD = DeviceLimits(1e12, {"bf16": 1e14, "f32": 1e13}, 100)
ONE = GridTerm({"": 1}, 1, 1)
WEIGHTS = 10**8


def kernel(name, anchor, **costs):
    return Kernel(name=name, region=name, anchor=anchor, math="", source="", **costs)


PRODUCT = {"bytes": {"": WEIGHTS, "T": 10_000}, "flops": {"T": WEIGHTS}, "multiplied": {"T": 6000}}
# Tiles of 16 rows by 200 columns' blocks, two parts of the sum.
TILES = [GridTerm({"T": 1}, 16, 1), GridTerm({"": 1}, 1, 200), GridTerm({"": 1}, 1, 2)]
KERNELS = [
    kernel("product", "linear", **PRODUCT),
    kernel("stays", "linear", **PRODUCT, tiles=TILES),
    kernel("attend", "attention", bytes={"T": 1}, flops={"K": 10**4}),
    kernel("bare", "rows"),
]
TARGET = Target(
    levels={},
    player=None,
    inputs=[],
    slots=[],
    outputs={},
    cache_groups=[],
    tapes={},
    weights=Weights(total_bytes=0, tensors={}),
    kernels=KERNELS,
    batch_invariant=False,
)


def launch(name, grid=(ONE, ONE, ONE)):
    return Launch(kernel=name, buffers=[], scalars=[], grid=list(grid))


def bounds(name, step, grid=(ONE, ONE, ONE), limits=CARD):
    [found] = bounds_of([launch(name, grid)], TARGET, step, limits, "bf16")
    return found


def test_what_binds_is_bytes_operations_and_what_blocks_read_each_for_itself():
    found = bounds("product", decode_shape(32, 9), TILES)
    assert found.memory_s == pytest.approx((WEIGHTS + 32 * 10_000) / 1e12)
    assert found.flops_s == pytest.approx(32 * WEIGHTS / 1e14)
    assert found.cache_bytes == pytest.approx((2 * WEIGHTS + 200 * 32 * 6000) / 100)
    assert found.has_rows and not bounds("product", decode_shape(1, 9), TILES).has_rows


@pytest.mark.parametrize(("columns", "share"), [(50, 0.5), (100, 1.0), (101, 0.505), (150, 0.75)])
def test_multiprocessors_without_a_block_do_not_compute(columns, share):
    grid = [GridTerm({"": 1}, 1, columns), ONE, ONE]
    found = bounds("product", decode_shape(1, 9), grid)
    assert found.flops_s == pytest.approx(WEIGHTS / 1e14 / share)


def test_blocks_that_stay_read_and_compute_as_their_tiles_do():
    step = decode_shape(32, 9)
    found = bounds("stays", step, [GridTerm({"": 1}, 1, 100), ONE, ONE])
    assert found == bounds("product", step, TILES)


def test_a_launch_takes_a_moment_and_at_least_what_binds_it_most():
    step = decode_shape(32, 9)
    found = bounds("product", step, TILES)
    [time_s] = predict_launches([launch("product", TILES)], TARGET, step, CARD, "bf16")
    assert time_s == seconds_of(found, CONSTANTS)
    begin_s = CONSTANTS.launch_s + CONSTANTS.product_s
    longest_s = max(
        found.memory_s / CONSTANTS.memory_share,
        found.flops_s / CONSTANTS.product_share,
        found.cache_bytes / CONSTANTS.cache_bytes_per_s,
    )
    assert longest_s <= time_s - begin_s <= 3 ** (1 / 4) * longest_s


def test_a_launch_without_a_record_takes_its_moment():
    assert predict_launches([launch("bare")], TARGET, decode_shape(1, 9), CARD, "bf16") == [
        CONSTANTS.launch_s
    ]


def test_a_card_that_reads_faster_is_predicted_to_be_faster():
    h100, h200 = (CARDS[name].limits for name in ("h100", "h200"))
    step, wave = decode_shape(1, 128), launch("product", [GridTerm({"": 1}, 1, 132), ONE, ONE])
    times_s = [predict_launches([wave], TARGET, step, limits, "bf16")[0] for limits in (h100, h200)]
    saved_s = WEIGHTS / CONSTANTS.memory_share * (1 / h100.bytes_per_s - 1 / h200.bytes_per_s)
    assert times_s[0] - times_s[1] == pytest.approx(saved_s, rel=0.1)


def test_a_cpu_has_no_blocks_and_is_held_to_its_own_limits():
    limits = DeviceLimits(1e10, {"bf16": 1e11}, None)
    bare = msgspec.structs.replace(launch("product"), grid=[])
    [time_s] = predict_launches([bare], TARGET, prompt_shape(1, 1000), limits, "bf16")
    assert time_s == pytest.approx(1000 * WEIGHTS / 1e11, rel=0.01)


def test_a_prompt_waits_for_the_host_and_a_decode_step_does_not():
    times_s = [1e-6] * 1000
    assert predict_step(times_s, True, CARD) == pytest.approx(1e-3)
    least_s = 1000 * CONSTANTS.tape_launch_s
    assert predict_step(times_s, False, CARD) == pytest.approx(least_s + CONSTANTS.prompt_s)
    assert predict_step([1.0] * 9, False, CARD) == pytest.approx(9 + CONSTANTS.prompt_s)
