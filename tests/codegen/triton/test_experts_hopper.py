"""Routed experts by blocks that stay: what they compute, and what is compiled for Hopper."""

import gzip

import pytest
import torch
from experts_regions import CLAMPED, Experts
from region_kernels import relative_error
from triton_regions import TritonRegion

from tapeout import settings
from tapeout.codegen.triton.choice import choose, fields_of, legal_candidates
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.emit import emit_region
from tapeout.codegen.triton.expert_problem import BLOCKS, ExpertBlocks
from tapeout.codegen.triton.kernel import Steps, grid_of
from tapeout.codegen.triton.targets import TARGETS
from tapeout.errors import BuildError
from tapeout.ir.parser import parse_function
from tapeout.ir.types import Dim

TARGET = "cuda:sm_90"
ANY = Steps("any", target=TARGETS[TARGET])
SHAPES = {
    "qwen3": {"h": 2048, "i": 768, "e": 128, "k": 8},
    "gpt-oss": {"h": 2880, "i": 2880, "e": 32, "k": 4, "biases": True, "activation": CLAMPED},
    "ragged": {"h": 72, "i": 40, "e": 6, "k": 2},
    "no gate": {"h": 512, "i": 1024, "e": 8, "k": 3, "activation": "max(a, 0.0)", "gated": False},
    "f16": {"d": "f16", "h": 1000, "i": 328, "e": 60, "k": 6, "biases": True},
    "one expert": {"h": 8, "i": 8, "e": 1, "k": 1},
    "no last tile is short": {"h": 2048, "i": 1024, "e": 64, "k": 8},
    "many experts": {"h": 2048, "i": 512, "e": 512, "k": 10},
}


def emitted(shape, steps=ANY, **options):
    text = Experts.text_of(**{"d": "bf16", **SHAPES[shape], **options})
    return emit_region(parse_function(text), steps)


OF_SIZES = ("one expert", "no last tile is short", "many experts")  # no code of their own


@pytest.mark.parametrize(
    "shape",
    [pytest.param(s, marks=[pytest.mark.slow] * (s in OF_SIZES)) for s in SHAPES],
)
def test_its_machine_code_keeps_all_in_registers(shape):
    kernels = {kernel.suffix: kernel for kernel in emitted(shape).kernels}
    made = compile_kernels(kernels, TARGET, settings.CACHE.get() / "objects")
    assert [*made] == ["_count", "_place", "_up", "_down", "_sum"]
    for name, compiled in made.items():
        assert compiled.local_bytes == 0, name
        assert compiled.shared_bytes <= TARGETS[TARGET].shared_bytes, name
    for name in ("_up", "_down"):
        code = gzip.decompress(made[name].assembly.read_bytes()).decode()
        assert "wgmma.mma_async" in code and "cp.async.bulk.tensor.2d" in code
        assert "st.global.v4" in code and "st.global.b16" not in code


@pytest.mark.parametrize(
    ("tokens", "sizes"),
    [
        (1, {}),
        (3, {"e": 40, "k": 16, "h": 64, "i": 8}),
        (200, {"h": 320, "i": 192, "biases": True, "activation": CLAMPED}),
        (70, {"h": 264, "i": 520, "activation": "max(a, 0.0)", "gated": False}),
        (700, {"e": 3, "k": 3, "h": 264, "i": 16}),  # more than a chunk, and groups of an expert
        (130, {"e": 1, "k": 1, "h": 8, "i": 8}),
        (150, {"e": 200, "k": 9, "h": 16, "i": 8}),
        (3, {"e": 70, "k": 70, "h": 16, "i": 8}),  # a token's choices are more than a block's pairs
        (65, {"d": "f16"}),
    ],
)
def test_experts_by_blocks_that_stay_are_those_of_the_interpreter(tokens, sizes):
    experts = Experts(**{"d": "bf16", **sizes})
    arguments, region = experts.arguments(tokens), TritonRegion(experts.text, ANY)
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= 1.2e-2


@pytest.mark.parametrize("choices", [[[5, 0]], [[4, 4]], [[-1, 1 << 30]]])
def test_groups_have_each_pair_once_whatever_is_chosen(choices):
    experts, tokens = Experts("bf16"), 300
    region = TritonRegion(experts.text, ANY)
    region.run(experts.arguments(tokens, choices * tokens), {"T": tokens})
    told, places = (region.workspaces[place].view(torch.int32).tolist() for place in (1, 2))
    assert sorted(places) == list(range(2 * tokens))
    groups = [told[1 + 3 * i : 4 + 3 * i] for i in range(told[0])]
    ends = [min(first + BLOCKS.rows, end) for _, first, end in groups]
    assert [first for _, first, _ in groups] == [0, *ends[:-1]] and ends[-1] == 2 * tokens


def test_records_count_the_rows_of_pairs_and_the_tiles_of_groups():
    made = {kernel.suffix: kernel for kernel in emitted("ragged").kernels}
    moved = Dim.of("T") * (2 * 2 * (72 + 40))
    for suffix, weights in (("_up", 80 * 72), ("_down", 72 * 40)):
        assert made[suffix].cost.bytes == moved + Dim.of("E") * (2 * weights)
        assert made[suffix].tiles == grid_of((Dim.of("T") * 2 + 6 * 96, 192, 1), 1)
    rows = Dim.of("T") * ((1 + 2) * 2 * 72)
    assert made["_place"].cost.bytes == made["_sum"].cost.bytes == rows


def test_steps_that_give_an_expert_some_tokens_have_blocks_that_stay():
    for max_rows, has in ((None, True), (256, True), (128, False)):
        choice = emitted("qwen3", Steps("some", max_rows, target=TARGETS[TARGET])).choice
        assert (choice.chosen == BLOCKS) == has
        assert choice.others and (has or BLOCKS in choice.others)
        assert has == ("blocks stay" in choice.rule)


def test_blocks_that_stay_are_only_for_what_they_fit():
    problem = emitted("qwen3").choice.problem
    for case, said in [
        ({"can_stay": False}, "no such form"),
        ({"batch_invariant": True}, "one tile"),
        ({"max_rows": 64}, "more than 64 tokens"),
        ({"hidden": 2044}, "rows that long"),
    ]:
        changed = type(problem)(**{**vars(problem), **case})
        assert changed.refusal(BLOCKS) and said in changed.refusal(BLOCKS)
        with pytest.raises(BuildError, match=said):
            choose(changed, fields_of(BLOCKS))
        assert BLOCKS not in legal_candidates(changed, TARGETS[TARGET])
    with pytest.raises(BuildError, match="three warpgroups"):
        choose(problem, fields_of(ExpertBlocks(128)))
    assert emitted("qwen3", Steps("any"), d="f32").choice.chosen != BLOCKS
