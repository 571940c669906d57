import msgspec
import numpy as np
import pytest
from fake_steps import frame_of

from tapeout.artifact import CacheBuffer, CacheGroup, Kernel, Launch, Routing, Target, Weights
from tapeout.runtime.kernel_costs import Cost, LaunchCosts

GROUPS = [
    CacheGroup(name=n, layers=2, page_size_tokens=16, page_bytes_per_layer=1600, window=window)
    for n, window in (("full", None), ("sliding", 8))
]


def kernel(name, anchor, num_bytes=None, flops=None, routing=None):
    record = {"region": name, "anchor": anchor, "math": "", "source": ""}
    return Kernel(name=name, bytes=num_bytes, flops=flops, routing=routing, **record)


KERNELS = [
    kernel("product", "linear", {"": 5000, "T": 10}, {"T": 7, "R": 1}),
    kernel("attend", "attention", {"T": 3}, {"T": 9, "K": 1000}),
    kernel("write", "attention", {"T": 2}, {"T": 1}),
    kernel("up", "experts", {"E": 100, "T": 1}, {"T": 5}, Routing(64, 8)),
    kernel("bare", "rows"),
]
TARGET = Target(
    levels={},
    player=None,
    inputs=[],
    slots=[],
    outputs={},
    cache_groups=GROUPS,
    tapes={},
    weights=Weights(total_bytes=0, tensors={}),
    kernels=KERNELS,
    batch_invariant=False,
)
# Six tokens of three sequences, four of them a chunk of one, and two rows of logits.
FRAME = frame_of([[1] * 40, [1] * 4, [1] * 16], [36, 3, 15], rows=[3, 5])


def cost(name, *groups, frame=FRAME):
    launch = Launch(kernel=name, buffers=[CacheBuffer(g, 0) for g in groups], scalars=[])
    return LaunchCosts(TARGET, frame).of(launch)


def test_a_record_is_taken_at_the_sizes_of_the_step():
    assert cost("product") == Cost(5060, 6 * 7 + 2)


def test_a_launch_of_logits_rows_costs_what_these_do():
    launch = Launch(kernel="product", buffers=[], scalars=[], rows="R")
    assert LaunchCosts(TARGET, FRAME).of(launch) == Cost(5020, 2 * 7 + 2)


def test_attention_reads_what_its_sequences_see():
    num_pairs = (37 + 38 + 39 + 40) + 4 + 16
    assert cost("attend", "full") == Cost(18 + 100 * (40 + 4 + 16), 6 * 9 + 1000 * num_pairs)


def test_a_window_ends_what_attention_reads():
    # Four tokens look back eight each, on eleven together.
    assert cost("attend", "sliding") == Cost(18 + 100 * (11 + 4 + 8), 54 + 1000 * (4 * 8 + 4 + 8))


@pytest.mark.parametrize("window", [1, 5, 8, 100])
def test_pairs_are_those_of_each_token_with_what_it_sees(window):
    [group] = [g for g in GROUPS if g.name == "sliding"]
    frame = frame_of([[1] * 12, [1] * 7, [1] * 30], [0, 6, 18])
    starts, ends = (0, 6, 18), (12, 7, 30)
    positions = np.concatenate([np.arange(a, b) for a, b in zip(starts, ends, strict=True)])
    group = msgspec.structs.replace(group, window=window)
    target = msgspec.structs.replace(TARGET, cache_groups=[group])
    found = LaunchCosts(target, frame).of(
        Launch(kernel="attend", buffers=[CacheBuffer("sliding", 0)], scalars=[])
    )
    assert found.flops == 9 * 25 + 1000 * int(np.minimum(positions + 1, window).sum())


def test_others_write_the_steps_own_keys_and_values():
    assert cost("write", "full") == Cost(12 + 6 * 100, 6)


def test_of_routed_experts_those_count_that_uniform_choices_hit():
    assert cost("up", frame=frame_of([[1] * 9], [8])) == Cost(1 + 100 * 8, 5)
    hit = np.random.default_rng(0).random((2000, 6, 64)).argsort(axis=2)[:, :, :8]
    distinct = np.mean([len(np.unique(step)) for step in hit])
    assert cost("up") == Cost(6 + 100 * round(distinct), 30)


def test_a_kernel_without_a_record_has_no_cost():
    assert cost("bare") == Cost(None, None)
