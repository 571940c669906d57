"""Imports the ops that are not plain torch: masks, attention, experts, row selection."""

from __future__ import annotations

from typing import Any

from torch.fx import Node as FxNode

from ..errors import UnsupportedModelError
from ..ir.graph import Value
from ..ir.types import Dim, DType
from .capture import NO_WINDOW
from .import_fx import Importer, module_path


def _reshape(importer: Importer, x: Value, shape: tuple[Dim, ...], fx: FxNode) -> Value:
    attrs = {"shape": shape}
    return importer.emit("reshape", [x], attrs, [x.type.with_shape(*shape)], fx)[0]


def _heads_last(importer: Importer, x: Value, fx: FxNode) -> Value:
    """[1, H, T, D] as [T, H, D]."""
    _, heads, tokens, width = x.shape
    flat = _reshape(importer, x, (heads, tokens, width), fx)
    type = x.type.with_shape(tokens, heads, width)
    return importer.emit("transpose", [flat], {"permutation": (1, 0, 2)}, [type], fx)[0]


def import_mask(importer: Importer, fx: FxNode) -> None:
    """A mask has no value of its own: `import_attention` reads its window."""


def _window(mask: Any, window: int, path: str) -> int | None:
    """The window that mask and call agree on; None when there is none."""
    if not isinstance(mask, FxNode) or str(mask.target) != "tapeout.mask.default":
        raise UnsupportedModelError(f"{path}: the attention mask is computed by the model itself")
    masked, problem = mask.args[3:5]
    assert isinstance(masked, int)
    if problem:
        raise UnsupportedModelError(f"{path}: {problem}")
    if window not in (NO_WINDOW, masked):
        raise UnsupportedModelError(
            f"{path}: the attention's window is {window}, its mask's is {masked or 'none'}"
        )
    return masked or None


def import_attention(importer: Importer, fx: FxNode) -> None:
    """The captured attention as `attention`, over [T, H, D]; the result is [1, T, H, Dv]."""
    q, k, v, mask, sinks, scale, window, softcap = fx.args
    path = module_path(fx)
    heads = [_heads_last(importer, importer.value(x), fx) for x in (q, k, v)]
    operands = [*heads, importer.params["positions"], importer.params["sequence_ids"]]
    operands += [importer.value(sinks)] if sinks is not None else []
    attrs = {"scale": scale, "window": _window(mask, int(str(window)), path), "softcap": softcap}
    tokens, count, _ = heads[0].shape
    if int(count) % (num_kv_heads := int(heads[1].shape[1])):
        raise UnsupportedModelError(
            f"{path}: {count} heads of queries cannot share {num_kv_heads} of keys and values",
            "use a model whose num_attention_heads is a multiple of its num_key_value_heads",
        )
    type = heads[0].type.with_shape(tokens, count, heads[2].shape[2])
    result = importer.emit("attention", operands, attrs, [type], fx)[0]
    importer.values[fx] = _reshape(importer, result, (Dim(1), *type.shape), fx)


def import_index(importer: Importer, fx: FxNode) -> None:
    """``table[ids]``, and ``x[:, rows]`` of x [1, T, H], as `gather_rows`; no other indexing."""
    x, indices = importer.value(fx.args[0]), list(fx.args[1])  # type: ignore[arg-type]
    rows = importer.value(indices[-1])
    batched = len(indices) == 2 and indices[0] is None and x.shape[0] == Dim(1)
    if not (batched or len(indices) == 1) or rows.dtype is DType.BOOL:
        raise UnsupportedModelError(f"{module_path(fx)}: indexing by {fx.args[1]} is not compiled")
    if not batched and not x.shape[0].is_const:
        raise UnsupportedModelError(
            f"{module_path(fx)}: picks tokens of the step, which mixes requests"
        )
    table = _reshape(importer, x, x.shape[1:], fx) if batched else x
    flat = _reshape(importer, rows, (rows.type.numel(),), fx)
    type = table.type.with_shape(*flat.shape, *table.shape[1:])
    found = importer.emit("gather_rows", [table, flat], {}, [type], fx)[0]
    shape = importer.type(fx).shape
    importer.values[fx] = _reshape(importer, found, shape, fx)


_CLAMPED = (
    "(min(max(b, -{limit}), {limit}) + 1.0)"
    " * (min(a, {limit}) / (1.0 + exp(-{alpha} * min(a, {limit}))))"
)


def activation_expression(activation: str, alpha: float, limit: float) -> str:
    """The scalar expression over a (gate) and b (up) of an experts' activation."""
    if activation == "swiglu_clamped":
        return _CLAMPED.format(alpha=repr(alpha), limit=repr(limit))
    from ..ir.ops import record_of

    scalar = record_of(activation).scalar
    assert scalar is not None
    return f"({scalar}) * b"


def import_experts(importer: Importer, fx: FxNode) -> None:
    """The captured experts as `experts`; its fused weights are turned into the op's layout."""
    *tensors, transposed, interleaved, activation, alpha, limit = fx.args
    values = [importer.value(x) for x in tensors if x is not None]
    if transposed:
        values[3:5] = [_swap_last(importer, x, fx) for x in values[3:5]]
    if interleaved:
        values[3] = _deinterleave(importer, values[3], fx)
        values[5:6] = [_deinterleave(importer, x, fx) for x in values[5:6]]
    expression = activation_expression(str(activation), float(str(alpha)), float(str(limit)))
    attrs = {"activation": expression, "gated": True}
    importer.values[fx] = importer.emit("experts", values, attrs, [values[0].type], fx)[0]


def _swap_last(importer: Importer, x: Value, fx: FxNode) -> Value:
    count, rows, columns = x.shape
    type = x.type.with_shape(count, columns, rows)
    return importer.emit("transpose", [x], {"permutation": (0, 2, 1)}, [type], fx)[0]


def _deinterleave(importer: Importer, x: Value, fx: FxNode) -> Value:
    """Rows 0, 2, 4, ... of axis 1, then rows 1, 3, 5, ..."""
    size = int(x.shape[1])
    type = x.type.with_shape(x.shape[0], size // 2, *x.shape[2:])
    parts = [
        importer.emit(
            "slice", [x], {"axis": 1, "start": start, "stop": size, "step": 2}, [type], fx
        )
        for start in (0, 1)
    ]
    operands = [part[0] for part in parts]
    return importer.emit("concat", operands, {"axis": 1}, [x.type], fx)[0]


SPECIAL = {
    "tapeout.mask.default": import_mask,
    "tapeout.attention.default": import_attention,
    "tapeout.experts.default": import_experts,
    "aten.index.Tensor": import_index,
}
"""Importers by the name of the torch op."""
