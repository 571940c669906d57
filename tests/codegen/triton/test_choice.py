"""What is chosen for a kernel, by whom, and what else may be tried."""

import random

import pytest
import torch
from region_kernels import relative_error
from region_texts import LINEAR
from triton_regions import INVARIANT, VARIANTS, TritonRegion

from tapeout.codegen.triton.attention_problems import Decode, Heads, HopperTile, InParts, Prefill
from tapeout.codegen.triton.choice import choose, fields_of, legal_candidates
from tapeout.codegen.triton.expert_problem import Experts
from tapeout.codegen.triton.product_problem import Product
from tapeout.codegen.triton.targets import TARGETS
from tapeout.codegen.triton.tiles import (
    MOST,
    NUM_MULTIPROCESSORS,
    Tile,
    num_blocks,
    shared_bytes,
)
from tapeout.errors import BuildError
from tapeout.ir.types import DType

H100 = TARGETS["cuda:sm_90"]
ROWS = (1, 16, 64, 256, 1024, None)
HEADS = Heads(32, 8, 64, 64)


def product(rows=16, n=2048, k=2048, num_weights=1, batch_invariant=False, **facts):
    facts = {"dtype": DType.BF16, "has_norm": False, "can_box": True} | facts
    facts = {"can_stream": False, "can_stay": False} | facts
    return Product(rows, n, k, num_weights, batch_invariant=batch_invariant, **facts)


PROBLEMS = [
    *(product(rows, batch_invariant=invariant) for rows in ROWS for invariant in (False, True)),
    product(1, 8192, 2048, 2, has_norm=True, can_box=False),
    *(product(rows, can_stream=True) for rows in (1, 16, 64, 256)),
    *(product(rows, 1024, 1024, least_columns=64) for rows in (64, 128, None)),
    product(16, 14336, 4096, 2, has_norm=True, can_box=False, can_stream=True),
    *(product(rows, can_stay=True) for rows in (1024, None)),
    product(None, 14336, 4096, 2, can_stay=True, batch_invariant=True),
    *(Decode(rows, HEADS) for rows in (1, 16, 256)),
    *(Prefill(rows, HEADS, own) for rows in (64, None) for own in (False, True)),
    *(InParts(rows, 8) for rows in (1, 256, None)),
    *(Experts(rows, 128, 8, 2048, 768, 2, False) for rows in (1, 16, None)),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_what_a_rule_takes_is_legal_and_reads_back(problem):
    ruled = problem.ruled()
    assert problem.refusal(ruled.chosen) is None
    assert problem.read(fields_of(ruled.chosen)) == ruled.chosen
    assert ruled.chosen not in ruled.others and all(ruled.others.values())
    assert choose(problem).rule == ruled.rule


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_candidates_are_legal_distinct_and_not_what_the_rule_takes(problem):
    found = legal_candidates(problem, H100)
    assert len(set(found)) == len(found) and problem.ruled().chosen not in found
    assert all(problem.refusal(one) is None for one in found)
    assert len(found) >= 1 or isinstance(problem, InParts)


@pytest.mark.parametrize("rows", ROWS[1:])
@pytest.mark.parametrize(("n", "k"), [(2048, 2048), (14336, 4096), (128256, 2048)])
def test_candidates_for_products_fit_the_target_and_give_the_machine_enough_blocks(rows, n, k):
    found = legal_candidates(product(rows, n, k), H100)
    assert all(shared_bytes(tile, 1) <= H100.shared_bytes for tile in found)
    assert rows is None or rows > 256 or all(num_blocks(tile, rows, n) >= MOST for tile in found)
    assert {tile.boxed for tile in found} >= {True}
    assert 8 <= len(found) <= 400


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("n", "k"), [(2048, 2048), (6144, 4096), (4096, 14336)])
def test_candidates_for_batch_invariance_have_the_parts_and_the_instruction_of_all_sizes(
    rows, n, k
):
    problem = product(rows, n, k, batch_invariant=True)
    parts = {t.splits * t.parts for t in (*legal_candidates(problem, H100), problem.ruled().chosen)}
    assert len(parts) == 1
    assert all(t.rows >= 64 and t.num_warps >= 4 for t in legal_candidates(problem, H100))


def test_other_bits_are_refused_under_batch_invariance():
    problem = product(64, batch_invariant=True)
    chosen = problem.ruled().chosen
    assert chosen.parts * chosen.splits > 1
    with pytest.raises(BuildError, match="K is in 4 parts for steps of all sizes"):
        choose(problem, fields_of(chosen) | {"splits": 1})
    with pytest.raises(BuildError, match="its instruction would be another"):
        choose(problem, fields_of(chosen) | {"rows": 32})


def test_what_is_asked_for_goes_before_the_rule_and_the_rule_says_what_it_would_take():
    problem = product(16)
    ruled, asked = problem.ruled(), Tile(16, 64, 64, 4, 3)
    choice = choose(problem, fields_of(asked))
    assert choice.chosen == asked and choice.rule is None
    assert choice.others[ruled.chosen] == f"the rule takes it: {ruled.rule}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depth": 100}, "powers of two"),
        ({"rows": 1}, "a row alone"),
        ({"splits": 3}, "parts of K are not alike|does not divide"),
        ({"num_stages": 0}, "stages are from 1 to 8"),
        ({"boxed": True, "columns": 512}, "no box is that large"),
        ({"colour": 3}, None),
        ({"rows": "many"}, "Expected `int`"),
    ],
)
def test_a_configuration_that_no_kernel_can_have_is_refused_by_its_reason(changes, reason):
    asked = fields_of(product(16).ruled().chosen) | changes
    if reason is None:  # what another version knows besides
        assert choose(product(16), asked).chosen == product(16).ruled().chosen
        return
    with pytest.raises(BuildError, match=reason) as error:
        choose(product(16), asked)
    assert "take it out of the table" in str(error.value)


def test_an_expert_and_an_attention_refuse_what_they_cannot_have():
    experts = Experts(16, 128, 8, 2048, 768, 2, False)
    with pytest.raises(BuildError, match="powers of two"):
        choose(experts, fields_of(experts.ruled().chosen) | {"up_depth": 96})
    same = Experts(None, 128, 8, 2048, 768, 2, True)
    with pytest.raises(BuildError, match="steps of all sizes have one tile"):
        choose(same, fields_of(same.ruled().chosen) | {"up_stages": 2})
    with pytest.raises(BuildError, match="the form is for Hopper"):
        choose(Prefill(64, HEADS, False), fields_of(HopperTile(2, 64)))
    with pytest.raises(BuildError, match="splits are from 1 to 64"):
        choose(Decode(1, HEADS), fields_of(Decode(1, HEADS).ruled().chosen) | {"splits": 0})


def test_every_tile_that_was_passed_over_has_its_reason():
    ruled = product(32, 3072, 2048).ruled()
    assert any("leave multiprocessors idle" in reason for reason in ruled.others.values())
    ruled = product(128, 3072, 2048).ruled()
    assert all("waves take" in reason for reason in ruled.others.values()) and ruled.others


@pytest.mark.parametrize(("n", "k"), [(1024, 1024), (1024, 2048), (2560, 2560)])
def test_the_blocks_that_a_rule_counts_are_those_of_the_tile_that_squares_allow(n, k):
    ruled = product(64, n, k, least_columns=64).ruled()
    fills = num_blocks(ruled.chosen, 64, n) in range(MOST, NUM_MULTIPROCESSORS + 1)
    assert fills == (ruled.rule == "the first whose blocks fill waves")
    assert all(tile.columns >= 64 for tile in (ruled.chosen, *ruled.others))


@pytest.mark.parametrize(
    ("rows", "facts", "kind", "reason"),
    [
        (16, {}, "stream", "the target or the epilogue"),
        (64, {"can_stream": True, "k": 960}, "stream", "fewer than 1024 columns or K are few"),
        (65, {"can_stream": True}, "stream", "more than 64 rows"),
        (None, {"can_stream": True, "can_stay": True}, "stream", "more than 64 rows"),
        (1, {"can_stream": True}, "stream", "more than one"),
        (16, {"can_stream": True, "n": 2000}, "stream", "the columns are no multiple of 64"),
        (16, {"can_stream": True, "batch_invariant": True}, "stream", "an order of their own"),
        (16, {"can_stream": True}, "persistent", "any number of rows"),
        (None, {}, "persistent", "the target or the epilogue"),
        (None, {"can_stream": True}, "persistent", "the epilogue has no such form, for it adds"),
        (None, {"can_stay": True, "n": 2000}, "persistent", "no whole tiles"),
        (None, {"can_stay": True, "dtype": DType.F32}, "persistent", "floats of 16 bits"),
    ],
)
def test_a_kind_of_which_no_form_is_taken_has_its_reason(rows, facts, kind, reason):
    choice = choose(product(rows, **facts))
    assert choice.chosen.kind != kind and reason in choice.kinds[kind]


def test_what_is_asked_for_has_no_reason_against_its_kind():
    problem = product(64, k=960, can_stream=True)
    asked = next(one for one in legal_candidates(problem, H100) if one.kind == "stream")
    assert "stream" in choose(problem).kinds
    assert choose(problem, fields_of(asked)).kinds.keys() == {"persistent"}


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        (product(16, can_stream=True), ", but its weights are on the way too late"),
        (product(None, can_stay=True), " us, but the end of a tile stands alone"),
    ],
)
def test_where_another_kind_is_taken_the_best_tile_comes_first_with_what_its_own_rule_says(
    problem, why
):
    (best, said), *others = problem.ruled().others.items()
    assert best.kind == "tile" and said.endswith(why)
    assert all(reason.split()[-1] in said for _, reason in others if "waves take" in reason)


@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
def test_a_product_in_other_tiles_is_that_of_the_interpreter(steps):
    torch.manual_seed(0)
    n, k, tokens = 736, 1024, min(steps.max_rows or 70, 70)
    text = LINEAR.format(d="bf16", n=n, k=k)
    problem = TritonRegion(text, steps).emitted.choice.problem
    found = [t for t in legal_candidates(problem, H100) if t.rows * t.columns * t.depth < 1 << 20]
    x, w = torch.randn(tokens, k).bfloat16(), (torch.randn(n, k) / 32).bfloat16()
    arguments = [x, w, torch.randn(n).bfloat16(), torch.randn(tokens, n).bfloat16()]
    for tile in random.Random(0).sample(found, 3):
        region = TritonRegion(text, steps, fields_of(tile))
        assert region.emitted.choice.chosen == tile
        [made] = region.run(arguments, {"T": tokens})
        [wanted] = region.reference(arguments, {"T": tokens})
        assert relative_error(made, wanted) <= 8e-3, tile
