from fake_steps import frame_of

from tapeout.artifact import CacheBuffer, CacheGroup, Kernel, Launch, Target, Weights
from tapeout.runtime.kernel_costs import Cost, RegionCosts

GROUPS = [
    CacheGroup(name=n, layers=2, page_size_tokens=16, page_bytes_per_layer=1600, window=window)
    for n, window in (("full", None), ("sliding", 8))
]


def kernel(name, anchor, num_bytes=None, flops=None, region=None):
    record = {"region": region or name, "anchor": anchor, "math": "", "source": ""}
    return Kernel(name=name, bytes=num_bytes, flops=flops, **record)


KERNELS = [
    kernel("product", "linear", {"": 5000, "T": 10}, {"T": 7, "R": 1}),
    kernel("attend", "attention", {"T": 3}, {"T": 1000}),
    kernel("attend_write", "attention", {"T": 3}, {"T": 1000}, "attend"),
    kernel("write", "rows", {"T": 2}, {"T": 1}),
    kernel("expert", "experts", {"": 10**9}, {"T": 5}),
    kernel("prepare", "sample", {"R": 1}, {"R": 1}, "sample"),
    kernel("choose", "sample", {"R": 1}, {"R": 1}, "sample"),
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


def launch(name, *groups):
    return Launch(kernel=name, buffers=[CacheBuffer(g, 0) for g in groups], scalars=[])


def cost(*launches):
    return RegionCosts(TARGET, FRAME).of(launches)


def test_a_record_is_taken_at_the_sizes_of_the_step():
    assert cost(launch("product")) == Cost(5060, 6 * 7 + 2)


def test_every_call_of_a_region_counts():
    assert cost(*[launch("product")] * 3) == Cost(3 * 5060, 3 * 44)


def test_a_call_of_several_kernels_counts_once():
    assert cost(*map(launch, ("prepare", "choose", "prepare", "choose"))) == Cost(2 * 2, 2 * 2)


def test_attention_reads_what_its_sequences_see():
    assert cost(launch("attend", "full")) == Cost(18 + 100 * (40 + 4 + 16), None)


def test_a_window_ends_what_attention_reads():
    # Four tokens look back eight each, on eleven together.
    assert cost(launch("attend", "sliding")) == Cost(18 + 100 * (11 + 4 + 8), None)


def test_a_layer_that_two_kernels_of_attention_touch_is_read_once():
    launches = [launch("attend", "full"), launch("attend_write", "full")]
    assert cost(*launches) == Cost(18 + 100 * (40 + 4 + 16), None)


def test_others_write_the_steps_own_keys_and_values():
    assert cost(launch("write", "full")) == Cost(12 + 6 * 100, 6)


def test_bytes_of_routed_experts_are_not_known():
    assert cost(launch("expert")) == Cost(None, 30)


def test_a_kernel_without_a_record_has_no_cost():
    assert cost(launch("bare")) == Cost(None, None)
