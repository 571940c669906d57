import re

import msgspec
import pytest
from fake_model import CONTEXT

from tapeout.artifact import Artifact, Slot
from tapeout.errors import CapacityError, InputError
from tapeout.runtime import plan as plan_module
from tapeout.runtime.limits import Limits
from tapeout.runtime.plan import plan_memory

PAGE_BYTES = 2 * 128


@pytest.fixture
def planned(fake):
    target = Artifact.open(fake).manifest.targets["cpu"]
    return lambda **limits: plan_memory(target, CONTEXT, Limits(**limits))


def test_by_default_every_sequence_can_be_as_long_as_the_context(planned):
    plan = planned(max_num_seqs=3)
    assert plan.max_model_len == CONTEXT
    assert plan.num_kv_tokens == 3 * CONTEXT
    assert plan.num_pages == [1 + 3 * CONTEXT // 16]
    assert plan.kv_cache_bytes == plan.num_pages[0] * PAGE_BYTES


def test_every_sequence_has_pages_of_its_own(planned):
    plan = planned(max_num_seqs=4, max_model_len=23)
    assert plan.num_pages == [1 + 4 * 2] and plan.num_kv_tokens == 4 * 32


@pytest.mark.parametrize("pages", [17, 18, 100])
def test_a_budget_of_bytes_is_rounded_down_to_pages(planned, pages):
    plan = planned(kv_cache_bytes=pages * PAGE_BYTES + 255)
    assert plan.num_pages == [pages]
    assert plan.kv_cache_bytes == pages * PAGE_BYTES


def test_a_window_gets_the_pages_of_what_all_sequences_can_see(fake):
    target = Artifact.open(fake).manifest.targets["cpu"]
    (full,) = target.cache_groups
    window = msgspec.structs.replace(full, name="window_32", window=32)
    hybrid = msgspec.structs.replace(target, cache_groups=[full, window])
    limits = Limits(max_num_seqs=2, max_num_batched_tokens=16)
    plan = plan_memory(hybrid, CONTEXT, limits)
    assert plan.num_kv_tokens == 2 * CONTEXT
    assert plan.max_tokens_in_flight == 32
    assert plan.num_pages == [1 + 2 * CONTEXT // 16, 1 + 2 * (2 * 4) + 2]
    assert plan.kv_cache_bytes == sum(plan.num_pages) * PAGE_BYTES


def test_the_context_shrinks_to_a_small_cache_unless_it_was_asked_for(planned):
    plan = planned(kv_cache_bytes=6 * PAGE_BYTES)
    assert plan.max_model_len == 80
    assert re.fullmatch(
        "max_model_len is 80, for a key-value cache of 1536 bytes holds 80 tokens; one sequence of "
        f"{CONTEXT} takes [0-9]+: raise kv_cache_bytes or gpu_memory_utilization",
        plan.cut,
    )
    assert planned(kv_cache_bytes=6 * PAGE_BYTES, max_model_len=80).cut is None
    with pytest.raises(
        CapacityError, match="holds 80 tokens; one sequence of 81 takes .*lower max_model_len"
    ):
        planned(kv_cache_bytes=6 * PAGE_BYTES, max_model_len=81)


def test_a_budget_of_no_page_is_refused_for_a_sequence_that_could_be(planned):
    with pytest.raises(
        CapacityError,
        match="1 bytes holds 0 tokens; one sequence of 2 takes [0-9]+: raise .*utilization$",
    ):
        planned(kv_cache_bytes=1)


def test_the_bytes_that_a_sequence_is_said_to_take_are_enough(planned):
    for limits in ({}, {"max_model_len": 81}):
        with pytest.raises(CapacityError) as raised:
            planned(kv_cache_bytes=1, **limits)
        told = int(str(raised.value).split(" takes ")[1].split(":")[0])
        assert planned(kv_cache_bytes=told, **limits).max_model_len >= limits.get(
            "max_model_len", 2
        )
    told = int(planned(kv_cache_bytes=6 * PAGE_BYTES).cut.split(" takes ")[1].split(":")[0])
    assert planned(kv_cache_bytes=told).max_model_len == CONTEXT
    assert planned(kv_cache_bytes=told - 1).cut is not None


def test_bounds_are_those_of_a_step(planned):
    plan = planned(max_model_len=100, max_num_seqs=5, max_num_batched_tokens=50)
    assert plan.bounds == (50, 5, 50, 7)
    assert planned(max_num_seqs=2000).bounds[:3] == (2000, 2000, 2000)
    assert planned(max_num_seqs=2, max_logit_rows=3).bounds[:3] == (1024, 2, 3)


def test_slots_take_their_largest_tenant_in_multiples_of_64(planned):
    assert planned(max_num_seqs=1, max_logit_rows=1).arena_bytes == 1280 + 3 * 64 + 2 * 128
    assert planned(max_logit_rows=65).arena_bytes == 65 * 1280 + 3 * 320 + 2 * 65 * 80 + 2 * 48


def test_slots_for_sequences_have_rows_in_the_inputs(planned):
    one, more = planned(max_num_seqs=64, max_model_len=64), planned(max_num_seqs=64)
    assert more.inputs_bytes - one.inputs_bytes == 64 * (CONTEXT - 64) * 4 + 64 * (16 - 4) * 4
    assert (more.sizes["N"], more.sizes["L"]) == (64, 64 * CONTEXT)


def test_tokens_of_all_slots_are_counted_in_31_bits(planned):
    num_seqs = 2**31 // CONTEXT
    with pytest.raises(InputError, match=f"max_num_seqs={num_seqs} .* 2147483647 tokens; lower"):
        planned(max_num_seqs=num_seqs)


def test_a_gpu_has_no_larger_slot_than_its_kernels_find_their_way_in(fake, monkeypatch):
    monkeypatch.setattr(plan_module, "memory_bytes", lambda: 1 << 40)
    target = Artifact.open(fake).manifest.targets["cpu"]
    wide = Slot(bytes=[{"T": 2 * 25_600}])
    target = msgspec.structs.replace(target, slots=[*target.slots, wide])
    most = 2**31 // 25_600
    for num_tokens, device_bytes in ((most, 1 << 40), (most + 1, None)):
        plan_memory(target, CONTEXT, Limits(max_num_batched_tokens=num_tokens), device_bytes)
    with pytest.raises(InputError, match=f"max_num_batched_tokens={most + 1} .* 4294967296 that"):
        plan_memory(target, CONTEXT, Limits(max_num_batched_tokens=most + 1), 1 << 40)


def test_all_together_stays_within_the_share_of_the_machine(planned, monkeypatch):
    monkeypatch.setattr(plan_module, "memory_bytes", lambda: 4_000_000)
    assert planned().total_bytes <= 3_600_000
    assert planned(gpu_memory_utilization=0.45).total_bytes <= 1_800_000
    with pytest.raises(CapacityError, match="3600000 bytes that are gpu_memory_utilization=0.9"):
        planned(kv_cache_bytes=3_600_000)
    with pytest.raises(CapacityError, match="lower max_num_seqs"):
        planned(max_num_seqs=1000)


def test_weights_that_are_too_large_are_named_alone(planned, monkeypatch):
    monkeypatch.setattr(plan_module, "memory_bytes", lambda: 64)
    with pytest.raises(CapacityError, match=r"weights take 64 bytes, more than the 57 .* memory$"):
        planned()


def test_a_larger_share_is_named_where_weights_would_fit_then(planned, monkeypatch):
    monkeypatch.setattr(plan_module, "memory_bytes", lambda: 65)
    with pytest.raises(CapacityError, match="more memory, or raise gpu_memory_utilization$"):
        planned()


@pytest.fixture
def planned_on_gpu(fake):
    target = Artifact.open(fake).manifest.targets["cpu"]
    return lambda num_bytes, longest=CONTEXT, **limits: plan_memory(
        target, longest, Limits(**limits), num_bytes
    )


@pytest.mark.parametrize(
    ("num_bytes", "num_seqs", "num_tokens"),
    [(1 << 30, 256, 8192), (40 << 20, 128, 4096), (20 << 20, 64, 2048), (10 << 20, 64, 1024)],
)
def test_defaults_yield_to_keys_and_values_on_a_small_gpu(
    planned_on_gpu, num_bytes, num_seqs, num_tokens
):
    plan = planned_on_gpu(num_bytes)
    assert (plan.max_num_seqs, plan.max_num_batched_tokens) == (num_seqs, num_tokens)
    assert plan.total_bytes <= 0.9 * num_bytes
    if num_tokens > 1024:
        assert plan.arena_bytes + plan.inputs_bytes <= 0.9 * num_bytes / 8


def test_given_limits_do_not_yield_on_a_small_gpu(planned_on_gpu):
    plan = planned_on_gpu(20 << 20, max_num_seqs=256)
    assert (plan.max_num_seqs, plan.max_num_batched_tokens) == (256, 1024)
    plan = planned_on_gpu(20 << 20, max_num_batched_tokens=8192)
    assert (plan.max_num_seqs, plan.max_num_batched_tokens) == (64, 8192)


def test_defaults_yield_to_the_cache_that_is_asked_for(planned_on_gpu):
    share = int(0.9 * (1 << 30))
    free = share - planned_on_gpu(1 << 30).weights_bytes
    plan = planned_on_gpu(1 << 30, kv_cache_bytes=free - (4 << 20))
    assert (plan.max_num_seqs, plan.max_num_batched_tokens) == (128, 4096)
    with pytest.raises(CapacityError, match="lower max_num_seqs, max_num_batched_tokens"):
        planned_on_gpu(1 << 30, kv_cache_bytes=free - (1 << 20))


def test_defaults_yield_to_contexts_whose_tokens_could_not_be_counted(planned_on_gpu):
    plan = planned_on_gpu(1 << 40, longest=10 << 20)
    assert (plan.max_num_seqs, plan.max_model_len) == (128, 10 << 20)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_model_len": CONTEXT + 1}, f"max_model_len={CONTEXT + 1} is more than .* {CONTEXT}"),
        ({"max_model_len": 0}, "max_model_len=0 is not allowed"),
        ({"max_num_seqs": -1}, "max_num_seqs=-1 is not allowed"),
        ({"max_num_seqs": True}, "max_num_seqs=True is not allowed"),
        ({"max_num_seqs": 9, "max_num_batched_tokens": 8}, "=8 is below max_num_seqs=9"),
        ({"max_num_seqs": 9, "max_logit_rows": 8}, "rows=8 is below max_num_seqs=9"),
        ({"kv_cache_bytes": 0}, "kv_cache_bytes=0 is not allowed"),
        ({"gpu_memory_utilization": 0}, "gpu_memory_utilization=0 is not allowed"),
        ({"gpu_memory_utilization": float("nan")}, "gpu_memory_utilization=nan is not allowed"),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization=1.5 is not allowed"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name(planned, limits, message):
    with pytest.raises(InputError, match=message):
        planned(**limits)
