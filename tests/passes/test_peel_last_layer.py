"""The last layer runs apart, for the rows that are wanted."""

import pytest
import torch

from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import VerifyError, verify
from tapeout.passes.peel_last_layer import missed_layers, peel_last_layer
from tapeout.passes.select_rows_early import select_rows_early

LAYERS = """
    func @a(%x: f32[T, 8], %w: f32[8, 8]) {
      %y: f32[T, 8] = linear(%x, %w)
      %z: f32[T, 8] = add(%x, %y)
      return %z
    }
    func @b(%x: f32[T, 8], %w: f32[8, 8]) {
      %y: f32[T, 8] = linear(%x, %w)
      %scaled: f32[T, 8] = mul(%y, %x)
      return %scaled
    }
"""
ENDING = "%last: f32[R, 8] = gather_rows(%r, %rows) return %last"


def module_of(pattern, count, ending=ENDING, layers=LAYERS):
    names = ", ".join(f'"{name}"' for name in pattern)
    families = ", ".join(f'["{name}.w"]' for name in pattern)
    weights = [
        f'weight @{name}.w f32[8, 8] for {count} = checkpoint("{name}.{{i}}")'
        for name in dict.fromkeys(pattern)
    ]
    used = [part for part in layers.split("    func ")[1:] if part[1] in pattern]
    body = f"""
    entry @step(%h: f32[T, 8], %rows: i32[R]) {{
      %r: f32[T, 8] = repeat(%h)
        {{carried = 1, count = {count}, pattern = [{names}], weights = [{families}]}}
      {ending}
    }}
    """
    text = ["module level=paged", *weights, body, *(f"func {part}" for part in used)]
    return verify(parse_module("\n".join(text)))


def calls_of(module):
    """Of each call of layers: its functions, how often, and from which iteration on."""
    nodes = [node for node in module.functions["step"].nodes if node.op == "repeat"]
    return [(n.attrs["pattern"], n.attrs["count"], n.attrs.get("first", 0)) for n in nodes]


def logits_of(module):
    generator = torch.Generator().manual_seed(0)
    count = max(weight.count for weight in module.weights.values())
    weights = {
        f"{name}/{i}": torch.randn(8, 8, generator=generator)
        for name in sorted(module.weights)
        for i in range(count)
    }
    h, rows = torch.randn(5, 8, generator=generator), torch.tensor([4, 1])
    return Interpreter(module, weights, {"T": 5, "R": 2}).run("step", [h, rows])[0]


@pytest.mark.parametrize(
    ("pattern", "count", "wanted"),
    [
        ("a", 3, [(("a",), 2, 0), (("a_rows",), 1, 2)]),
        ("a", 1, [(("a_rows",), 1, 0)]),
        ("ab", 2, [(("a", "b"), 1, 0), (("a",), 1, 1), (("b_rows",), 1, 1)]),
        ("ab", 1, [(("a",), 1, 0), (("b_rows",), 1, 0)]),
    ],
)
def test_the_last_layer_is_a_call_of_its_own_with_the_weights_that_it_had(pattern, count, wanted):
    before = module_of(pattern, count)
    after, peeled = peel_last_layer(before)
    assert peeled == 1 and calls_of(verify(after)) == wanted
    early = verify(select_rows_early(after)[0])
    assert torch.equal(logits_of(before), logits_of(after))
    assert torch.allclose(logits_of(before), logits_of(early), rtol=1e-5, atol=1e-6)
    assert set(after.functions) == {"step"} | {name for call in wanted for name in call[0]}


def test_its_products_have_the_wanted_rows_alone():
    early, _ = select_rows_early(peel_last_layer(module_of("a", 2))[0])
    nodes = early.functions["a_rows"].nodes
    assert [node.op for node in nodes] == ["gather_rows", "linear", "add"]
    assert all(str(node.result.shape[0]) == "R" for node in nodes)
    assert all(str(node.result.shape[0]) == "T" for node in early.functions["a"].nodes)


@pytest.mark.parametrize(
    ("ending", "layers", "predicate"),
    [
        (
            f"%all: f32[T, 8] = exp(%r) {ENDING.replace('return %last', 'return %last, %all')}",
            LAYERS,
            "one gather alone reads the layer's rows",
        ),
        (
            "%which: i32[R] = add(%rows, %rows) %last: f32[R, 8] = gather_rows(%r, %which)"
            " return %last",
            LAYERS,
            "which rows are wanted is an input",
        ),
        (ENDING, LAYERS.replace("return %z", "return %x"), "row-wise work ends the layer"),
    ],
)
def test_a_layer_that_stays_says_why(ending, layers, predicate):
    module = module_of("a", 2, ending, layers)
    assert peel_last_layer(module) == (module, 0)
    [miss] = missed_layers(module)
    assert miss.obstacle.predicate == predicate and miss.function == "step"


def test_layers_that_run_more_than_once_give_what_they_take():
    after, _ = peel_last_layer(module_of("a", 2))
    text = str(after).replace("count = 1, first = 1", "count = 2, first = 0")
    with pytest.raises(VerifyError, match="layer|repeat"):
        verify(parse_module(text))
