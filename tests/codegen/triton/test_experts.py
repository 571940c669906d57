import pytest
import torch
from region_kernels import relative_error
from triton_regions import INVARIANT, VARIANTS, TritonRegion

TEXT = """
func @mix(%x: {d}[T, {h}], %indices: i32[T, {k}], %weights: {d}[T, {k}], %up: {d}[{e}, {u}, {h}],
          %down: {d}[{e}, {h}, {i}]{biases}) {{anchor = "experts"}} {{
  %y: {d}[T, {h}] = experts(%x, %indices, %weights, %up, %down{names})
    {{activation = "{activation}", gated = {gated}}}
  return %y
}}"""
BIASES = ", %up_bias: {d}[{e}, {u}], %down_bias: {d}[{e}, {h}]"
SILU = "(a / (1.0 + exp(-a))) * b"
CLAMPED = "(min(max(b, -7.0), 7.0) + 1.0) * (min(a, 7.0) / (1.0 + exp(-1.702 * min(a, 7.0))))"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
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


class Experts:
    """An experts region with random weights."""

    def __init__(self, d="f32", h=72, i=40, e=6, k=2, activation=SILU, biases=False, gated=True):
        self.d, self.h, self.e, self.k = DTYPES[d], h, e, k
        u = 2 * i if gated else i
        sizes = {"d": d, "h": h, "i": i, "e": e, "k": k, "u": u}
        self.text = TEXT.format(
            **sizes,
            activation=activation,
            gated=str(gated).lower(),
            biases=BIASES.format(**sizes) if biases else "",
            names=", %up_bias, %down_bias" if biases else "",
        )
        torch.manual_seed(0)
        shapes = [(e, u, h), (e, h, i), *([(e, u), (e, h)] if biases else [])]
        self.weights = [(torch.randn(*s) / s[-1] ** 0.5).to(self.d) for s in shapes]

    def arguments(self, tokens, choices=None):
        """Operands of a step; each token's choices are random ones, or those given."""
        torch.manual_seed(tokens)
        if choices is None:
            choices = [torch.randperm(self.e)[: self.k].tolist() for _ in range(tokens)]
        indices = torch.tensor(choices).int()
        x, shares = torch.randn(tokens, self.h), torch.rand(tokens, self.k)
        return [x.to(self.d), indices, shares.to(self.d), *self.weights]


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
