import pytest
import torch

from tapeout.errors import UnsupportedModelError
from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import verify
from tapeout.passes.cancel_layouts import cancel_layouts
from tapeout.passes.drop_batch_axis import drop_batch_axis
from tapeout.passes.lower_aten import lower_aten

LINES = [
    "f32[1, T, 6] = aten.clamp.default(%x) {min = -0.5, max = 0.25}",
    "f32[1, T, 6] = aten.pow.Tensor_Scalar(%x) {exponent = 3.0}",
    "f32[1, T, 6] = aten.pow.Tensor_Scalar(%x) {exponent = 2}",
    "f32[1, T, 6] = aten.add.Tensor(%x, %x) {alpha = 2}",
    "f32[1, T, 6] = aten.rsub.Scalar(%x) {other = 1.0}",
    "f32[1, T, 6] = aten.softplus.default(%x)",
    "f32[1, T, 6] = aten.gelu.default(%x) {approximate = \"tanh\"}",
    "f32[1, T, 6] = aten.expm1.default(%x)",
    "f32[1, T, 6] = aten.leaky_relu.default(%x) {negative_slope = 0.2}",
    "f32[1, T, 6] = aten.hardtanh.default(%x) {min_val = 0.0, max_val = 0.5}",
    "f32[1, T, 6] = aten.mish.default(%x)",
    "f32[1, T, 6] = aten.minimum.default(%x, %x)",
    "bool[1, T, 6] = aten.gt.Scalar(%x) {other = 0.0}",
    "bool[1, T, 6] = aten.ne.Scalar(%x) {other = 0.0}",
    "f32[1, T, 6] = aten.softmax.int(%x) {dim = -1}",
    "f32[1, T, 6] = aten.rms_norm.default(%x) {normalized_shape = [6]}",
    "f32[1, T, 6] = aten.rms_norm.default(%x) {normalized_shape = [6], eps = 0.1}",
    "f32[1, T] = aten.linalg_vector_norm.default(%x) {dim = [-1]}",
    "f32[1, T, 1] = aten.linalg_vector_norm.default(%x) {ord = 2, dim = [-1], keepdim = true}",
    "f32[1, T] = aten.mean.dim(%x) {dim = [-1]}",
    "f32[1, T, 1] = aten.amax.default(%x) {dim = [2], keepdim = true}",
    "f32[1, T, 2] = aten.slice.Tensor(%x) {dim = -1, start = 1, end = 5, step = 2}",
    "f32[1, T] = aten.select.int(%x) {dim = 2, index = -1}",
    "f32[1, T, 12] = aten.repeat_interleave.self_int(%x) {repeats = 2, dim = -1}",
    "f32[1, T, 6, 2] = aten.stack.default(%x, %x) {dim = -1, tensors_count = 2}",
    "f32[1, T, 2, 3] = aten.unflatten.int(%x) {dim = 2, sizes = [2, 3]}",
    "f32[1, 6, T] = aten.transpose.int(%x) {dim0 = -1, dim1 = 1}",
    "f32[1, T, 6] = aten.to.dtype(%x) {dtype = f32}",
]  # fmt: skip


def module_of(line):
    text = f"module level=traced\nentry @step(%x: f32[1, T, 6]) {{ %y: {line} return %y }}"
    return verify(parse_module(text))


@pytest.mark.parametrize("line", LINES)
def test_lowered_ops_compute_what_torch_computes(line):
    before = module_of(line)
    after, _ = lower_aten(before)
    assert verify(after).level == "model"
    x = torch.randn(1, 5, 6)
    found, wanted = (Interpreter(m, {}, {"T": 5}).run("step", [x])[0] for m in (after, before))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("f32[1, T, 6] = aten.cumsum.default(%x) {dim = 2}", "cumsum.default is not compiled"),
        ("f32[1, T, 6] = aten.softmax.int(%x) {dim = 1}", "mixes requests"),
        ("f32[1, 6] = aten.mean.dim(%x) {dim = [1]}", "mixes requests"),
        ("f32[1, 6] = aten.select.int(%x) {dim = 1, index = -1}", "mixes requests"),
        ("f32[1, 3, 6] = aten.slice.Tensor(%x) {dim = 1, start = 0, end = 3}", "mixes requests"),
        ("f32[1, T] = aten.linalg_vector_norm.default(%x) {ord = 1, dim = [2]}", "of order 1"),
        ("f32[1, T, T] = aten.matmul.default(%x, %x)", "more than a matrix"),
    ],
)
def test_what_mixes_tokens_or_is_unknown_is_refused(line, reason):
    with pytest.raises(UnsupportedModelError, match=f"^model: .*{reason}"):
        lower_aten(module_of(line))


def test_a_column_times_a_row_is_a_product():
    before = parse_module(
        "module level=traced\n"
        "entry @step(%x: f32[1, 4, 1], %p: f32[1, 1, T]) {\n"
        "  %y: f32[1, 4, T] = aten.matmul.default(%x, %p)\n"
        "  %z: f32[1, T, 4] = aten.transpose.int(%y) {dim0 = 1, dim1 = 2}\n"
        "  return %z\n}"
    )
    after = verify(cancel_layouts(drop_batch_axis(lower_aten(before)[0])[0])[0])
    assert "transpose" not in {node.op for node in after.functions["step"].nodes}
    x, p = torch.randn(1, 4, 1), torch.randn(1, 1, 5)
    inputs = [x.squeeze(0), p] if after.functions["step"].params[0].type.rank == 2 else [x, p]
    found = Interpreter(after, {}, {"T": 5}).run("step", inputs)[0]
    torch.testing.assert_close(found, (x @ p).transpose(1, 2).reshape(found.shape))
