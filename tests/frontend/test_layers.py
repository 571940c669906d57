import pytest

from tapeout.errors import UnsupportedModelError
from tapeout.frontend.layers import cut_layers
from tapeout.ir.graph import Function, Node, Value
from tapeout.ir.types import TensorType
from tapeout.ir.verify import verify
from tapeout.ir.weights import Weight, checkpoint

HIDDEN = TensorType.of("f32", "T", 8)
HEADS = TensorType.of("f32", "T", 2, 4)
IDS = TensorType.of("i32", "T")
POSITIONS, SEQUENCES = Value("positions", IDS), Value("sequence_ids", IDS)
WEIGHT = TensorType.of("f32", 8)


def layer(number, x, num_attentions=1, path="h"):
    """x * w, split into heads, some attentions: nodes of the module ``h.<number>``."""
    origin, name = f"{path}.{number}", f"{path}.{number}.w"
    weight, product = Value(f"w{number}", WEIGHT), Value(f"y{number}", HIDDEN)
    attrs = {"name": name, "dtype": WEIGHT.dtype, "shape": (8,)}
    q = Value(f"q{number}", HEADS)
    nodes = [
        Node("weight", (), attrs, (weight,)),
        Node("mul", (x, weight), {}, (product,), f"{origin}.norm"),
        Node("reshape", (product,), {"shape": HEADS.shape}, (q,), origin),
    ]
    for index in range(num_attentions):
        result = Value(f"a{number}_{index}", HEADS)
        operands = (q, q, q, POSITIONS, SEQUENCES)
        nodes.append(Node("attention", operands, {"scale": 1.0}, (result,), f"{origin}.attn"))
        q = result
    out = Value(f"o{number}", HIDDEN)
    return [*nodes, Node("reshape", (q,), {"shape": HIDDEN.shape}, (out,), origin)], out


def module_of(*num_attentions, path="h"):
    start = x = Value("x", HIDDEN)
    nodes = []
    for number, count in enumerate(num_attentions):
        made, x = layer(number, x, count, path)
        nodes += made
    function = Function("step", (start, POSITIONS, SEQUENCES), tuple(nodes), (x,))
    names = [f"{path}.{number}.w" for number in range(len(num_attentions))]
    weights = {name: Weight(name, WEIGHT, checkpoint(name)) for name in names}
    return cut_layers(function, weights, ["h"])


def test_each_layer_becomes_a_function_of_its_own_weights():
    module = verify(module_of(1, 1, 1))
    assert set(module.functions) == {"step", "layer0", "layer1", "layer2"}
    assert [node.op for node in module.functions["step"].nodes] == ["repeat"] * 3
    assert [value.name for value in module.functions["layer1"].params] == [
        "hidden",
        "positions",
        "sequence_ids",
        "w",
    ]


def test_a_single_layer_is_cut_too():
    assert set(verify(module_of(1)).functions) == {"step", "layer0"}


def test_two_attentions_in_a_layer_are_refused():
    with pytest.raises(UnsupportedModelError, match=r"h\.1: has more than one attention"):
        module_of(1, 2)


def test_attention_outside_of_layers_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"other\.0\.attn: attention outside"):
        module_of(1, path="other")
