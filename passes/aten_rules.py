"""What torch ops mean in our own: rules by the name of the op, without its overload.

A rule takes the emitter, the traced node and its new operands, and gives the values that stand
for the node's results. Rules with arguments are made by the factories at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

from ..ir.graph import Node, Value
from ..ir.types import Dim, DType
from .emit import Emitter

Rule = Callable[[Emitter, Node, list[Value]], Sequence[Value]]


class NotLoweredError(Exception):
    """A use of an op that no rule covers; the message says which."""


def fixed_axis(node: Node, x: Value, name: str = "dim") -> int:
    """The axis a rule works along; refused when it is the axis of tokens."""
    value = node.attrs.get(name, -1)
    if isinstance(value, tuple):
        if len(value) != 1:
            raise NotLoweredError(f"along the axes {value}")
        value = value[0]
    axis = int(value) % x.type.rank
    if not x.shape[axis].is_const:
        raise NotLoweredError("along the axis of tokens, which mixes requests")
    return axis


def unary(op: str) -> Rule:
    """The elementwise ``op`` of one operand."""
    return lambda emit, node, x: [emit(op, x[0])]


def same(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """An op that gives its operand unchanged."""
    return [x[0]]


def under_shape(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Ops that give their operand under the traced result's shape; tokens stay in order."""
    shape = node.results[0].shape
    if _num_before_tokens(x[0].shape) != _num_before_tokens(shape):
        raise NotLoweredError(f"from {x[0].type} to {node.results[0].type}, which mixes requests,")
    return [emit.reshape(x[0], *shape)]


def _num_before_tokens(shape: Sequence[Dim]) -> int | None:
    """How often the axis of tokens is run through; None when there is no such axis."""
    count = 1
    for dim in shape:
        if not dim.is_const:
            return count
        count *= int(dim)
    return None


def _scalar(emit: Emitter, node: Node, name: str, like: Value) -> Value:
    value = node.attrs[name]
    if isinstance(value, Dim):
        raise NotLoweredError("with the number of tokens as an operand")
    dtype = DType.F32 if isinstance(value, float) or like.dtype.is_float else like.dtype
    return emit.constant(value, dtype)


_IDENTITY = {"add": 0, "sub": 0, "mul": 1, "div": 1, "pow": 1}


def binary(op: str) -> Rule:
    """The elementwise ``op`` of two operands, the second maybe a number; types are promoted."""

    def rule(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
        if node.attrs.get("other", node.attrs.get("exponent")) == _IDENTITY.get(op, inf):
            return [emit.cast(x[0], node.results[0].dtype)]
        other = x[1] if len(x) > 1 else _scalar(emit, node, "other", x[0])
        if "alpha" in node.attrs:
            other = emit("mul", other, _scalar(emit, node, "alpha", other))
        return [emit(op, *promote(emit, [x[0], other], node.results[0].dtype))]

    return rule


def promote(emit: Emitter, operands: Sequence[Value], dtype: DType) -> list[Value]:
    """Operands with a shape in one dtype; numbers adapt by themselves."""
    kinds = {value.dtype for value in operands if value.type.rank}
    if dtype is DType.BOOL:
        floats = [d for d in kinds if d.is_float]
        dtype = DType.F32 if len(floats) != 1 else floats[0]
    if len(kinds) <= 1 and (dtype in kinds or not kinds or dtype in (DType.I64,)):
        return list(operands)
    return [emit.cast(v, dtype) if v.type.rank else v for v in operands]


def extreme(op: str) -> Rule:
    """The smaller or larger of two operands; torch's reductions of the same name are refused."""

    def rule(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
        if len(x) != 2:
            raise NotLoweredError("as a reduction")
        return [emit(op, *promote(emit, x, node.results[0].dtype))]

    return rule


def expm1(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """exp(x) - 1."""
    return [emit("sub", emit("exp", x[0]), emit.constant(1.0, DType.F32))]


def comparison(op: str, swapped: bool = False, negated: bool = False) -> Rule:
    """A comparison, of swapped operands or negated where ours are fewer than torch's."""

    def rule(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
        other = x[1] if len(x) > 1 else _scalar(emit, node, "other", x[0])
        pair = promote(emit, [x[0], other], DType.BOOL)
        found = emit(op, *(reversed(pair) if swapped else pair))
        return [_negate(emit, found)] if negated else [found]

    return rule


def _negate(emit: Emitter, x: Value) -> Value:
    return emit("equal", x, emit.constant(False, DType.BOOL))


def clamp(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Bounds below and above, each optional."""
    value = x[0]
    for op, name in (("max", "min"), ("min", "max")):
        if node.attrs.get(name) is not None:
            value = emit(op, value, _scalar(emit, node, name, value))
    return [value]


def power(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Small powers as products and roots."""
    base, exponent = x[0], node.attrs.get("exponent")
    match exponent:
        case 2:
            return [emit("mul", base, base)]
        case 3:
            return [emit("mul", emit("mul", base, base), base)]
        case 0.5:
            return [emit("sqrt", base)]
        case -0.5:
            return [emit("rsqrt", base)]
    other = x[1] if len(x) > 1 else _scalar(emit, node, "exponent", base)
    return [emit("pow", base, other)]


def gelu(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Both forms of gelu."""
    return [emit("gelu_tanh" if node.attrs.get("approximate") == "tanh" else "gelu", x[0])]


def softplus(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """log(1 + exp(x)), written so that it does not overflow; rounded once, at the end."""
    if node.attrs.get("beta", 1) != 1:
        raise NotLoweredError(f"with beta {node.attrs['beta']}")
    zero, one = emit.constant(0.0, DType.F32), emit.constant(1.0, DType.F32)
    wide = emit.cast(x[0], DType.F32)
    tail = emit("log", emit("add", emit("exp", emit("neg", emit("abs", wide))), one))
    return [emit.cast(emit("add", emit("max", wide, zero), tail), x[0].dtype)]


def to_dtype(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Casts; whole numbers stay what they are, since all of ours fit in 32 bits."""
    dtype = node.results[0].dtype
    whole = (DType.I32, DType.I64)
    return [x[0] if x[0].dtype in whole and dtype in whole else emit.cast(x[0], dtype)]


def leaky_relu(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """max(x, 0) + slope * min(x, 0)."""
    zero = emit.constant(0.0, DType.F32)
    slope = emit.constant(float(node.attrs.get("negative_slope", 0.01)), DType.F32)
    return [emit("add", emit("max", x[0], zero), emit("mul", emit("min", x[0], zero), slope))]


def hardtanh(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """x between two bounds."""
    low, high = (float(node.attrs.get(k, v)) for k, v in (("min_val", -1.0), ("max_val", 1.0)))
    raised = emit("max", x[0], emit.constant(low, DType.F32))
    return [emit("min", raised, emit.constant(high, DType.F32))]


def mish(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """x * tanh(softplus(x))."""
    wide = emit.cast(x[0], DType.F32)
    return [emit.cast(emit("mul", wide, emit("tanh", softplus(emit, node, [wide])[0])), x[0].dtype)]


def masked_fill(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """A number where the mask holds."""
    number = x[2] if len(x) > 2 else _scalar(emit, node, "value", x[0])
    return [emit("where", x[1], number, x[0])]


def where(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """A choice by a condition."""
    if len(x) != 3:
        raise NotLoweredError("with numbers")
    return [emit("where", x[0], *promote(emit, x[1:], node.results[0].dtype))]


def bitwise_not(emit: Emitter, node: Node, x: list[Value]) -> list[Value]:
    """Negation of conditions."""
    if x[0].dtype is not DType.BOOL:
        raise NotLoweredError("of whole numbers")
    return [_negate(emit, x[0])]


def like(value: float | None) -> Rule:
    """A tensor of one number in the traced result's type."""

    def rule(emit: Emitter, node: Node, _: list[Value]) -> list[Value]:
        type = node.results[0].type
        number = node.attrs["fill_value"] if value is None else value
        constant = emit("constant", value=number, dtype=type.dtype)
        return [emit("broadcast", constant, shape=type.shape) if type.rank else constant]

    return rule


_RELU6 = {"min_val": 0.0, "max_val": 6.0}

ELEMENTWISE: dict[str, Rule] = {
    **{op: unary(op) for op in ("neg", "abs", "floor", "exp", "log", "sqrt", "rsqrt", "cos")},
    **{op: unary(op) for op in ("sin", "tanh", "erf", "sigmoid", "silu", "relu")},
    **{op: binary(op) for op in ("add", "sub", "mul", "div")},
    "minimum": binary("min"),
    "maximum": binary("max"),
    "min": extreme("min"),
    "max": extreme("max"),
    "expm1": expm1,
    "pow": power,
    "square": lambda emit, node, x: [emit("mul", x[0], x[0])],
    "reciprocal": lambda emit, node, x: [emit("div", emit.constant(1.0, DType.F32), x[0])],
    "rsub": lambda emit, node, x: [emit("sub", _scalar(emit, node, "other", x[0]), x[0])],
    "clamp": clamp,
    "clamp_min": clamp,
    "clamp_max": clamp,
    "gelu": gelu,
    "softplus": softplus,
    "leaky_relu": leaky_relu,
    "hardtanh": hardtanh,
    "relu6": lambda emit, node, x: hardtanh(emit, replace(node, attrs=_RELU6), x),
    "mish": mish,
    "lt": comparison("less"),
    "le": comparison("less_equal"),
    "gt": comparison("less", swapped=True),
    "ge": comparison("less_equal", swapped=True),
    "eq": comparison("equal"),
    "ne": comparison("equal", negated=True),
    "bitwise_not": bitwise_not,
    "logical_not": bitwise_not,
    "masked_fill": masked_fill,
    "where": where,
    "to": to_dtype,
    "_to_copy": to_dtype,
    "type_as": to_dtype,
    "zeros_like": like(0.0),
    "ones_like": like(1.0),
    "zeros": like(0.0),
    "ones": like(1.0),
    "full": like(None),
    "full_like": like(None),
    **dict.fromkeys(("contiguous", "clone", "alias", "detach", "dropout"), same),
    **dict.fromkeys(("lift_fresh", "lift_fresh_copy"), same),
}
"""Rules of the ops that compute each element by itself, and of those that compute nothing."""
