"""What torch ops that move, reduce or multiply elements mean in our own; see `aten_rules`."""

from __future__ import annotations

from ..ir.graph import Node, Value
from ..ir.types import Dim, DType
from .aten_rules import ELEMENTWISE, NotLoweredError, Rule, fixed_axis, under_shape
from .emit import Emitter

_F32_EPS = 2.0**-23  # what torch adds where a norm names nothing


def _take(emit: Emitter, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    if start == 0 and step == 1 and x.shape[axis] == Dim(stop):
        return x
    return emit("slice", x, axis=axis, start=start, stop=stop, step=step)


def slice_axis(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """A range of one axis; all of the axis of tokens may be asked for, no part of it."""
    axis = int(node.attrs.get("dim", 0)) % x[0].type.rank
    if node.results[0].shape == x[0].shape:
        return [x[0]]
    size = int(x[0].shape[fixed_axis(node, x[0])])
    start, stop = (node.attrs.get(name) for name in ("start", "end"))
    first, last, step = slice(start, stop, node.attrs.get("step", 1)).indices(size)
    if first >= last:
        return _empty(emit, node)
    return [_take(emit, x[0], axis, first, last, step)]


def _empty(emit: Emitter, node: Node) -> list[Value]:
    """A value without elements; only a concatenation, which skips it, may read it."""
    type = node.results[0].type
    return [emit("broadcast", emit.constant(0, type.dtype), shape=type.shape)]


def select(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """One element of an axis, which goes away."""
    axis = fixed_axis(node, x[0])
    index = int(node.attrs["index"]) % int(x[0].shape[axis])
    return [emit.reshape(_take(emit, x[0], axis, index, index + 1), *node.results[0].shape)]


def split(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Consecutive parts of one axis, as the traced results have them."""
    named = {"dim": node.attrs.get("dim", 0)}
    axis = fixed_axis(Node(node.op, (), named, ()), x[0])
    parts, start = [], 0
    for result in node.results:
        width = int(result.shape[axis]) if node.op.split(".")[1] != "unbind" else 1
        part = _take(emit, x[0], axis, start, start + width)
        parts.append(emit.reshape(part, *result.shape))
        start += width
    return parts


def concat(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Operands one after another."""
    axis = int(node.attrs.get("dim", 0)) % x[0].type.rank
    if not all(value.shape[axis].is_const for value in x):
        raise NotLoweredError("along the axis of tokens, which mixes requests")
    parts = [value for value in x if value.shape[axis] != Dim(0)]
    return [parts[0] if len(parts) == 1 else emit("concat", *parts, axis=axis)]


def stack(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Operands along a new axis."""
    axis = int(node.attrs.get("dim", 0)) % (x[0].type.rank + 1)
    shape = (*x[0].shape[:axis], Dim(1), *x[0].shape[axis:])
    return [emit("concat", *(emit.reshape(value, *shape) for value in x), axis=axis)]


def transpose(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Two axes swapped."""
    order = list(range(x[0].type.rank))
    first, second = (int(node.attrs.get(name, at)) for at, name in enumerate(("dim0", "dim1")))
    order[first], order[second] = order[second], order[first]
    return [emit.transpose(x[0], order)]


def permute(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Axes in another order."""
    return [emit.transpose(x[0], [int(axis) % x[0].type.rank for axis in node.attrs["dims"]])]


def expand(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Repetition under broadcasting rules."""
    shape = node.results[0].shape
    return [x[0] if shape == x[0].shape else emit("broadcast", x[0], shape=shape)]


def repeat_interleave(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Each element of a fixed axis several times in a row."""
    axis, times = fixed_axis(node, x[0]), int(node.attrs["repeats"])
    shape = (*x[0].shape[: axis + 1], Dim(1), *x[0].shape[axis + 1 :])
    copies = [emit.reshape(x[0], *shape)] * times
    return [emit.reshape(emit("concat", *copies, axis=axis + 1), *node.results[0].shape)]


def embedding(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Rows of a table by ids of any shape."""
    table, ids = x
    rows = emit("gather_rows", table, emit.reshape(ids, ids.type.numel()))
    return [emit.reshape(rows, *node.results[0].shape)]


def linear(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """As ours."""
    return [emit("linear", *x)]


def addmm(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """bias + a @ b as a linear layer of the transpose of b."""
    if node.attrs.get("beta", 1) != 1 or node.attrs.get("alpha", 1) != 1:
        raise NotLoweredError("with factors")
    return [emit("linear", x[1], emit.transpose(x[2], (1, 0)), x[0])]


def matmul(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """a @ b: a column times a row is a product, any a by a matrix b a linear layer."""
    if x[0].type.rank == x[1].type.rank and x[0].shape[-1] == Dim(1):
        return [emit("mul", *x)]
    if x[1].type.rank != 2:
        raise NotLoweredError("of more than a matrix")
    return [emit("linear", x[0], emit.transpose(x[1], (1, 0)))]


def layer_norm(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Over the last axis, with its weight."""
    if len(node.attrs["normalized_shape"]) != 1:
        raise NotLoweredError("over several axes")
    return [emit("layer_norm", *x, eps=node.attrs.get("eps", 1e-5))]


def rms_norm(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Over the last axis, with its weight if it has one; torch computes it in f32, as ours."""
    if len(node.attrs["normalized_shape"]) != 1:
        raise NotLoweredError("over several axes")
    eps = node.attrs.get("eps")
    return [emit("rms_norm", *x, eps=_F32_EPS if eps is None else eps)]


def vector_norm(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """The root of the squares' sum, of one fixed axis."""
    if node.attrs.get("ord", 2) != 2:
        raise NotLoweredError(f"of order {node.attrs['ord']}")
    value = emit.cast(x[0], DType.F32)  # as torch adds them up
    root = emit("sqrt", emit("reduce_sum", emit("mul", value, value), axis=fixed_axis(node, value)))
    return [emit.reshape(emit.cast(root, node.results[0].dtype), *node.results[0].shape)]


def softmax(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Along the last axis."""
    if fixed_axis(node, x[0]) != x[0].type.rank - 1:
        raise NotLoweredError("along an axis that is not the last")
    return [emit("softmax", emit.cast(x[0], node.results[0].dtype))]


def topk(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """The largest of the last axis."""
    if fixed_axis(node, x[0]) != x[0].type.rank - 1 or node.attrs.get("largest") is False:
        raise NotLoweredError("of the smallest, or along an axis that is not the last")
    return list(emit.results("topk", x[0], k=int(node.attrs["k"])))


def reduce(op: str) -> Rule:
    """A reduction of one fixed axis."""

    def rule(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
        value = emit.cast(x[0], node.results[0].dtype)
        found = emit(op, value, axis=fixed_axis(node, value))
        return [emit.reshape(found, *node.results[0].shape)]

    return rule


LAYOUT: dict[str, Rule] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "view_as"), under_shape),
    **dict.fromkeys(("flatten", "unflatten", "unsqueeze", "squeeze"), under_shape),
    "slice": slice_axis,
    "select": select,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unbind"), split),
    "cat": concat,
    "stack": stack,
    "transpose": transpose,
    "t": lambda emit, node, x: [emit.transpose(x[0], (1, 0))],
    "permute": permute,
    "expand": expand,
    "expand_as": expand,
    "repeat_interleave": repeat_interleave,
    "embedding": embedding,
    "linear": linear,
    "addmm": addmm,
    "mm": matmul,
    "matmul": matmul,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "linalg_vector_norm": vector_norm,
    "softmax": softmax,
    "topk": topk,
    "sum": reduce("reduce_sum"),
    "mean": reduce("reduce_mean"),
    "amax": reduce("reduce_max"),
}
"""Rules of the ops that move, reduce or multiply."""

RULES: dict[str, Rule] = ELEMENTWISE | LAYOUT
"""Every rule. ``aten.mul.Tensor`` is found under ``mul``."""
