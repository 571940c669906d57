from itertools import product

import pytest
import torch
from triton_attention import PAGE, PREFILLS, TOLERANCE, Attention, Joined, attention_of
from triton_regions import INVARIANT, VARIANTS

from tapeout import settings
from tapeout.codegen.triton.attention_decode import at_once
from tapeout.codegen.triton.attention_problems import Decode, DecodeTile, Heads, num_splits
from tapeout.codegen.triton.attention_small import HeldDecode
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS

CASES = {
    "grouped heads": {},
    "three heads": {"h": 3, "hk": 1, "dim": 64, "dv": 64},
    "heads of eight": {"dim": 8},
    "other width of values": {"dim": 24, "dv": 88},
    "window": {"window": 70},
    "softcap": {"softcap": 2.0},
    "window, softcap and sinks": {"window": 70, "softcap": 2.0, "sinks": True},
}
ONE, FEW, SOME, MANY, ANY = VARIANTS


@pytest.mark.parametrize("case", CASES)
def test_decoding_over_pages_is_that_of_the_interpreter(case):
    assert Attention(ONE, "f32", **CASES[case]).error([150], [1]) <= TOLERANCE["f32"]
    assert Attention(FEW, "bf16", **CASES[case]).error([0, 69], [1] * 2) <= TOLERANCE["bf16"]
    assert Attention(MANY, "bf16", **CASES[case]).error([0, 70], [1] * 2) <= TOLERANCE["bf16"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("steps", [SOME, ANY], ids=lambda steps: steps.name)
def test_mixed_steps_over_pages_are_those_of_the_interpreter(steps, case):
    attention = Attention(steps, "bf16", **CASES[case])
    assert attention.error([3, 0, 150, 0], [1, 7, 20, 1]) <= TOLERANCE["bf16"]


@pytest.mark.parametrize("case", ["other width of values", "window, softcap and sinks"])
@pytest.mark.parametrize("steps", INVARIANT, ids=lambda steps: steps.name)
def test_attention_in_parts_is_that_of_the_interpreter(steps, case):
    contexts, counts = [260, 0, 70], [1, 1, 1] if steps.one_token_each else [3, 20, 1]
    count = 1 if steps.max_rows == 1 else 3
    attention = Attention(steps, "bf16", **CASES[case])
    assert attention.error(contexts[:count], counts[:count]) <= TOLERANCE["bf16"]


@pytest.mark.parametrize("case", ["three heads", "window, softcap and sinks"])
def test_attention_in_parts_is_bitwise_equal_alone_in_chunks_and_split_over_blocks(case):
    """The interpreter takes a tile's sums in the tile's order, as a GPU does."""
    one, few, some, many, any_size = INVARIANT
    said = [
        Attention(steps, "bf16", **CASES[case]).run([260 - count], [count])[0][-1:]
        for steps, count in ((any_size, 70), (some, 8), (one, 1), (few, 1), (many, 1))
    ]
    assert all(torch.equal(row, said[0]) for row in said)


def test_of_many_sequences_short_contexts_are_not_shared():
    """Of 32 a split has 256 keys or more: these contexts have one, two, two and four of them."""
    attention = Attention(Steps("decode32", 32, one_token_each=True), "bf16")
    assert attention.error([255, 256, 500, 1000], [1] * 4) <= TOLERANCE["bf16"]


def test_few_sequences_share_contexts_by_fewer_blocks_where_the_machine_does_not_hold_more():
    """Three blocks a multiprocessor take 49 splits of eight key heads, on the card of the rules."""
    heads, tile = Heads(16, 8, 128, 128), DecodeTile(8, 128, 4, 2)
    assert at_once(TARGETS[TARGET], tile, heads) == 3 * 132
    steps = Steps("decode16", 16, one_token_each=True, target=TARGETS[TARGET])
    body = Attention(steps, "bf16", h=16, hk=8, dim=128).attend.emitted.kernels[0].body
    assert "tl.where(tl.num_programs(2) * tl.minimum(num_blocks, 8) > 49, 2, 1)" in body
    few = Attention(FEW, "bf16", hk=2)  # of no target: one block a multiprocessor, 66 splits
    assert few.error([300] * 8 + [900, 513, 1], [1] * 11) <= TOLERANCE["bf16"]
    assert few.error([600] * 16, [1] * 16) <= TOLERANCE["bf16"]


@pytest.mark.parametrize("steps", [ONE, INVARIANT[0]], ids=lambda steps: steps.name)
def test_a_split_context_leaves_its_tickets_at_zero(steps):
    attention = Attention(steps)
    attention.error([300], [1])
    [tickets] = attention.attend.emitted.tickets
    assert not attention.attend.workspaces[tickets].any()


def test_a_row_at_position_minus_one_writes_nothing_and_attends_to_nothing():
    attention = Attention(FEW)
    h, hk, dim, dv = attention.shape
    cache = torch.zeros(PAGE * hk * (dim + dv))
    nowhere, table = torch.full((2,), -1).int(), torch.zeros(1, 3).int()
    where, symbols = [nowhere, torch.zeros(2).int(), table], {"T": 2, "S": 1, "P": 3}
    attention.write.run([cache, torch.ones(2, hk, dim), torch.ones(2, hk, dv), *where], symbols)
    [found] = attention.attend.run([torch.ones(2, h, dim), cache, *where], symbols)
    assert not cache.any() and not found.any()


@pytest.mark.parametrize(
    ("d", "case"),
    [
        ("f32", {"dim": 40, "dv": 88}),
        ("bf16", {}),
        ("bf16", {"window": 20, "softcap": 2.0}),
        ("f32", {"dim": 8, "h": 7, "hk": 1}),
        ("f32", {"dim": 24, "is_cut": True}),
    ],
    ids=["40 and 88 wide", "64 wide", "window and softcap", "8 wide", "queries cut out"],
)
@pytest.mark.parametrize("steps", VARIANTS, ids=lambda steps: steps.name)
def test_a_region_that_makes_its_queries_and_writes_the_cache_is_that_of_the_interpreter(
    steps, d, case
):
    assert max(Joined(steps, d, **case).errors([0, 3, 70])) <= TOLERANCE[d]


def test_prefill_on_hopper_makes_queries_with_a_norm_and_a_rotation():
    steps = Steps("any", target=TARGETS[TARGET])
    assert max(Joined(steps, "bf16", dim=56).errors([3, 70])) <= TOLERANCE["bf16"]


def test_prefill_makes_its_queries_itself_and_under_batch_invariance_reads_them():
    for steps, spaces in ((ANY, 0), (INVARIANT[-1], 1)):
        emitted = Joined(steps, "bf16", dim=64).region.emitted
        assert [kernel.suffix for kernel in emitted.kernels] == ["_write", ""]
        assert len(emitted.workspaces) == spaces


TARGET = "cuda:sm_90"
DECODE = tuple(
    Steps(name, rows, one_token_each=True)
    for name, rows in (("one", 1), ("few", 16), ("many", 256))
)


def forms_for(target, **case):
    """Decode for one row, few and many, and prefill of some and of any, of a region in bf16."""
    target = TARGETS.get(target)
    steps = (*DECODE, Steps("some", 1024, target=target), Steps("any", target=target))
    return {s.name: Attention(s, "bf16", **case).attend.emitted.kernels[0] for s in steps}


BESIDES = {
    "nothing": {},
    "window": {"window": 70},
    "window and softcap": {"window": 70, "softcap": 2.0},
    "window and sinks": {"window": 70, "sinks": True},
}


FORMS = (
    *((64, "nothing"), (128, "window")),
    *((256, "window and softcap"), (64, "window and sinks")),
)


@pytest.mark.parametrize(
    ("dim", "besides"),
    [
        *FORMS,
        *(
            pytest.param(*form, marks=pytest.mark.slow)
            for form in product((24, 64, 80, 96, 128, 256), BESIDES)
            if form not in FORMS
        ),
    ],
)
def test_no_form_of_attention_spills(dim, besides):
    case = BESIDES[besides]
    kernels = forms_for(TARGET, h=32, hk=8, dim=dim, **case)
    kernels |= {"portable": forms_for(None, h=32, hk=8, dim=dim, **case)["any"]}
    compiled = compile_kernels(kernels, TARGET, settings.CACHE.get() / "objects")
    for name, found in compiled.items():
        assert found.local_bytes == 0, name
        assert found.shared_bytes <= TARGETS[TARGET].shared_bytes, name
        assert found.num_warps == kernels[name].num_warps + kernels[name].more_warps, name


@pytest.mark.parametrize("target", ["cuda:sm_80", TARGET, "cuda:sm_120", "hip:gfx942"])
def test_prefill_of_float32_and_of_very_wide_heads_fits_every_target_and_does_not_spill(target):
    steps, cases = Steps("any", target=TARGETS[target]), (("f32", 40), ("f32", 256), ("bf16", 264))
    cases += (("bf16", 256),) * (target != TARGET)  # which has a form of its own for them
    kernels = {
        f"{d}_{dim}": Attention(steps, d, h=8, hk=1, dim=dim).attend.emitted.kernels[0]
        for d, dim in cases
    }
    for name, found in compile_kernels(kernels, target, settings.CACHE.get() / "objects").items():
        assert found.local_bytes == 0, name


LARGE = (("f32", 40, 8), ("f32", 64, 64), ("f32", 256, 8), ("bf16", 128, 64), ("bf16", 128, 71))


@pytest.mark.parametrize("target", ["cuda:sm_80", TARGET, "cuda:sm_120", "hip:gfx942"])
def test_decoding_of_float32_and_of_many_heads_a_key_head_fits_every_target_and_does_not_spill(
    target,
):
    kernels = {
        f"{d}_{dim}_{group}_{s.name}": Attention(s, d, h=group, hk=1, dim=dim)
        for (d, dim, group), s in product(LARGE, (DECODE[0], DECODE[-1]))
    }
    kernels = {name: kernel.attend.emitted.kernels[0] for name, kernel in kernels.items()}
    for name, found in compile_kernels(kernels, target, settings.CACHE.get() / "objects").items():
        assert found.local_bytes == 0, name


@pytest.mark.parametrize("group", [64, 71])
@pytest.mark.parametrize("d", ["f32", "bf16"])
def test_decoding_of_many_heads_a_key_head_is_that_of_the_interpreter(d, group):
    assert Attention(ONE, d, h=group, hk=1).error([150], [1]) <= TOLERANCE[d]
    assert Attention(MANY, d, h=group, hk=1).error([0, 70], [1] * 2) <= TOLERANCE[d]


@pytest.mark.parametrize("dim", [64, 80, 96, 128, 256])
def test_up_to_16_heads_a_key_head_decode_in_tiles_that_were_measured(dim):
    for rows, group in product((1, 2, 16, 17, 32, 64, 65, 256), (1, 4, 8, 16)):
        problem = (rows, Heads(2 * group, 2, dim, dim))
        assert HeldDecode(*problem).ruled() == Decode(*problem).ruled()


SOME = ("64 wide", "96 wide", "128 wide", "window, softcap and sinks")


@pytest.mark.parametrize(
    "case",
    [*SOME, *(pytest.param(case, marks=pytest.mark.slow) for case in PREFILLS if case not in SOME)],
)
def test_prefill_on_hopper_is_that_of_the_interpreter(case):
    of_case = attention_of(Steps("any", target=TARGETS[TARGET]), case)
    assert of_case.attend.emitted.kernels[0].is_gluon
    for contexts, counts in (([0], [5]), ([0, 137], [70, 1])):
        assert of_case.error(contexts, counts) <= TOLERANCE["bf16"], counts


def test_places_that_nobody_wrote_count_for_nothing_however_late_a_warpgroup_is():
    """A block that is a sequence's first and last has such places on both sides of its own."""
    of_case = attention_of(Steps("any", target=TARGETS[TARGET]), "24 wide, window of a few")
    contexts, counts = [7 * i % 59 for i in range(12)], [1 + 5 * i % 31 for i in range(12)]
    assert of_case.error(contexts, counts) <= TOLERANCE["bf16"]


def test_hopper_has_a_form_of_its_own_for_prefill_whose_keys_and_values_have_one_width():
    def is_own(target, **case):
        return forms_for(target, **{"h": 8, "hk": 2, "dim": 64} | case)["any"].is_gluon

    assert all(is_own(TARGET, dim=dim) for dim in (8, 64, 80, 128, 256)) and is_own(TARGET, h=6)
    assert all(is_own(TARGET, **case) for case in BESIDES.values())
    assert not any(is_own(TARGET, **case) for case in ({"dim": 264}, {"dim": 20}, {"dv": 128}))
    assert not any(is_own(target) for target in TARGETS if target != TARGET)


def test_a_long_step_of_narrow_heads_has_larger_tiles_on_hopper():
    def tiles(**case):
        forms = forms_for(TARGET, **{"h": 8, "hk": 2, "dim": 64} | case)
        return [forms[steps].grid[1].divisor for steps in ("some", "any")]

    assert tiles() == [32, 48] and tiles(h=2) == [128, 192]
    assert tiles(dim=128) == [32, 32] and tiles(h=256) == [1, 1]
    assert tiles(window=70) == tiles(sinks=True) == [32, 32]


def test_all_forms_of_prefill_have_the_same_buffers_and_scalars():
    own, portable = (forms_for(t, h=8, hk=2, dim=64)["any"] for t in (TARGET, None))
    assert (own.buffers, own.types, own.scalars) == (
        portable.buffers,
        portable.types,
        portable.scalars,
    )


def test_more_rows_share_less_of_a_context():
    assert [num_splits(rows, 8) for rows in (1, 16, 32, 64, 256)] == [16, 4, 2, 1, 1]
    assert [num_splits(rows, 8, 1024) for rows in (1, 16, 32, 64)] == [16, 8, 4, 1]
    assert [num_splits(1, heads) for heads in (1, 2, 4, 32)] == [32, 32, 32, 4]


def test_of_more_than_64_sequences_wide_heads_have_keys_ahead():
    def stages(rows, dim):
        return Decode(rows, Heads(32, 8, dim, dim)).ruled().chosen.num_stages

    assert [stages(rows, 128) for rows in (64, 128, 256)] == [3, 5, 5]
    assert [stages(rows, 64) for rows in (64, 128)] == [2, 3]


def test_of_17_to_32_sequences_two_small_blocks_share_a_context():
    def tile(rows, dim):
        chosen = Decode(rows, Heads(32, 8, dim, dim)).ruled().chosen
        return chosen.splits, chosen.block

    assert [tile(rows, 128) for rows in (16, 32, 64)] == [(8, 128), (2, 64), (1, 64)]
    assert [tile(rows, 64) for rows in (16, 32, 64)] == [(4, 128), (2, 128), (1, 128)]


def test_some_rows_let_the_next_launch_begin_and_know_their_part_before_they_wait():
    cases = [(rows, Steps("decode", rows, one_token_each=True)) for rows in (1, 2, 64, 65)]
    for rows, steps in cases:
        before = Attention(steps, "bf16").attend.emitted.kernels[0].body.partition("_await_")[0]
        assert ("tl.load(p_positions" in before) == (1 < rows <= 64)
        assert ("_let_next_begin()" in before) == (rows <= 64)
