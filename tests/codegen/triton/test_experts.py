import pytest
import torch
from experts_regions import CLAMPED, Experts
from region_kernels import relative_error
from triton_regions import INVARIANT, VARIANTS, TritonRegion

TOLERANCE = {"f32": 2e-6, "bf16": 1.2e-2}  # where Triton's interpreter cuts, machines round
CASES = {
    "a gate": ("bf16", {}),
    "a gate, exact": ("f32", {}),
    "biases": ("bf16", {"biases": True, "activation": CLAMPED}),
    "biases, exact": ("f32", {"biases": True, "activation": CLAMPED}),
    "no gate": ("f32", {"activation": "max(a, 0.0)", "gated": False}),
    "many choices": ("bf16", {"e": 40, "k": 16, "h": 64, "i": 8}),
}


def largest(steps):
    return min(steps.max_rows or 65, 65)


def error(region, arguments):
    symbols = {"T": len(arguments[0])}
    [found] = region.run(arguments, symbols)
    [wanted] = region.reference(arguments, symbols)
    return relative_error(found, wanted)


@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
@pytest.mark.parametrize("case", CASES)
def test_experts_are_those_of_the_interpreter(case, steps):
    dtype, options = CASES[case]
    experts = Experts(dtype, **options)
    region = TritonRegion(experts.text, steps)
    for tokens in {1, 3, 17, 65}:
        if tokens <= largest(steps):
            assert error(region, experts.arguments(tokens)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
def test_one_expert_may_take_all_tokens_and_others_none(steps):
    experts, tokens = Experts(), largest(steps)
    region = TritonRegion(experts.text, steps)
    for choices in ([[5, 0]], [[0, 3]], [[4, 4]]):
        assert error(region, experts.arguments(tokens, choices * tokens)) <= TOLERANCE["f32"]


@pytest.mark.parametrize("steps", VARIANTS[1:], ids=lambda steps: steps.name)
def test_tickets_are_left_at_zero(steps):
    experts = Experts()
    region = TritonRegion(experts.text, steps)
    tokens = largest(steps)
    region.run(experts.arguments(tokens), {"T": tokens})
    [tickets] = region.emitted.tickets
    assert not region.workspaces[tickets].any()


@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
def test_choices_that_are_no_expert_touch_no_memory_outside(steps):
    """A router's row of NaN may choose anything."""
    experts = Experts()
    region = TritonRegion(experts.text, steps)
    arguments = experts.arguments(1, [[-1, 1 << 30]])
    [found] = region.run(arguments, {"T": 1})
    arguments[1].copy_(torch.tensor([[0, 5]]))
    assert relative_error(found, region.reference(arguments, {"T": 1})[0]) <= TOLERANCE["f32"]


def test_a_lone_token_has_its_choices_before_down_begins_which_reads_them_before_it_waits():
    up, down = TritonRegion(Experts().text, VARIANTS[0]).emitted.kernels
    assert up.body.index("_await_inputs()") < up.body.index("_let_next_begin()")
    begun, _ = down.body.split("_await_inputs()")
    assert "expert0 = weights_of(p_indices, 0)" in begun
    assert all(f"tl.load({name}" not in begun for name in ("w_active", "p_weights"))


def test_a_token_is_bitwise_equal_alone_and_among_others():
    experts = Experts("bf16")
    region = TritonRegion(experts.text, VARIANTS[1])
    arguments = experts.arguments(16)
    [whole] = region.run(arguments, {"T": 16})
    for tokens in (1, 5):
        part = [x[:tokens].contiguous() for x in arguments[:3]]
        [found] = region.run([*part, *arguments[3:]], {"T": tokens})
        assert torch.equal(found, whole[:tokens])


ROUTERS = (
    """
func @softmax_topk(%x: f32[T, {e}]) {{anchor = "rows"}} {{
  %softmax: f32[T, {e}] = softmax(%x)
  %topk: f32[T, {k}], %topk_1: i32[T, {k}] = topk(%softmax) {{k = {k}}}
  %sum: f32[T, 1] = reduce_sum(%topk) {{axis = 1}}
  %div: f32[T, {k}] = div(%topk, %sum)
  return %topk_1, %div
}}""",
    """
func @topk_softmax(%x: f32[T, {e}]) {{anchor = "rows"}} {{
  %topk: f32[T, {k}], %topk_1: i32[T, {k}] = topk(%x) {{k = {k}}}
  %softmax: f32[T, {k}] = softmax(%topk)
  return %topk_1, %softmax
}}""",
)


@pytest.mark.parametrize("text", ROUTERS, ids=["softmax first", "choice first"])
@pytest.mark.parametrize(("e", "k"), [(128, 8), (60, 6), (8, 8), (5, 1)])
def test_a_router_chooses_what_the_interpreter_does(text, e, k):
    torch.manual_seed(0)
    region, x = TritonRegion(text.format(e=e, k=k), VARIANTS[-1]), torch.randn(5, e)
    found, wanted = region.run([x], {"T": 5}), region.reference([x], {"T": 5})
    assert torch.equal(found[0], wanted[0])
    assert relative_error(found[1], wanted[1]) <= TOLERANCE["f32"]
