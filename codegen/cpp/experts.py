"""Emits "experts" regions as four launches: sort the (token, choice) pairs by expert, multiply by
gate and up and apply the activation, multiply by down, add each token's choices."""

from __future__ import annotations

from ...ir.graph import Function, Node, Value
from ...ir.types import Dim
from .choices import Asked
from .cost import NOTHING, experts_costs
from .elements import CPP_TYPES
from .expressions import CPP_SCALARS
from .kernel import KernelLaunch, Operand, RegionKernel

SORTED, ACTIVE, RESULTS = (Operand("workspace", place) for place in range(3))
"""i32 begin[E + 1] and order[pairs]; activations [pairs, I]; products by down [pairs, H]."""

_SORT = """TAPEOUT_KERNEL(NAME_sort) {{
    auto *indices = (const i32 *)launch->buffers[0];
    auto *begin = (i32 *)launch->buffers[1];
    if (next_unit(launch->ticket) == 0)
        sort_pairs(indices, launch->scalars[0] * {k}, {experts}, begin, begin + {experts} + 1);
}}"""

_UP = """TAPEOUT_KERNEL(NAME_up) {{
    auto *x = (const {x} *)launch->buffers[0];
    auto *begin = (const i32 *)launch->buffers[1], *order = begin + {experts} + 1;
    auto *w = (const {w} *)launch->buffers[2];
    auto *active = ({x} *)launch->buffers[3];
    const auto row_of = [&](i64 place) {{ return x + order[place] / {k} * {hidden}; }};
    const auto epilogue = [&](i64 place, [[maybe_unused]] i64 e, i64 c, const float *sums,
                              [[maybe_unused]] i64 span, auto n) {{
        const vf a = load(sums){gate_bias};
{up}        store(active + place * {inner} + c, {activation}, n);
    }};
    expert_matmul<{x}, {inner}, {parts}>(begin, {experts}, {hidden}, w, launch->ticket, row_of,
                                         epilogue);
}}"""

_DOWN = """TAPEOUT_KERNEL(NAME_down) {{
    auto *active = (const {x} *)launch->buffers[0];
    auto *begin = (const i32 *)launch->buffers[1], *order = begin + {experts} + 1;
    auto *w = (const {w} *)launch->buffers[2];
    auto *results = (float *)launch->buffers[3];
    const auto row_of = [&](i64 place) {{ return active + place * {inner}; }};
    const auto epilogue = [&](i64 place, [[maybe_unused]] i64 e, i64 c, const float *sums, i64,
                              auto n) {{
        store(results + (i64)order[place] * {hidden} + c, load(sums){down_bias}, n);
    }};
    expert_matmul<{x}, {hidden}, 1>(begin, {experts}, {inner}, w, launch->ticket, row_of, epilogue);
}}"""

_SUM = """TAPEOUT_KERNEL(NAME_sum) {{
    auto *results = (const float *)launch->buffers[0];
    auto *weights = (const {s} *)launch->buffers[1];
    auto *out = ({x} *)launch->buffers[2];
    each_row(launch->scalars[0], launch->ticket, num_workers,
             [&](i64 t) {{ sum_choices<{hidden}>(results, weights, t, {k}, out); }});
}}"""


def emit_experts(function: Function, packed: frozenset[str], asked: Asked) -> RegionKernel:
    """The kernels of an experts region; its two weights are packed, gates and ups apart."""
    (node,) = function.nodes
    x, indices, weights, gate_up, down, *biases = node.operands
    assert {gate_up.name, down.name} <= packed, f"{function.name} reads unpacked experts"
    rows, k = indices.shape
    experts, hidden, inner = down.shape
    values = {
        "x": CPP_TYPES[x.dtype],
        "w": CPP_TYPES[down.dtype],
        "s": CPP_TYPES[weights.dtype],
        **{"k": k, "experts": experts, "hidden": hidden, "inner": inner},
        **_epilogues(node, int(inner), int(hidden), biases),
    }
    body = "\n\n".join(part.format(**values) for part in (_SORT, _UP, _DOWN, _SUM))
    pairs = rows * k
    workspaces = (
        (pairs + experts + 1) * 4,
        pairs * inner * x.dtype.itemsize,
        pairs * hidden * 4,
    )
    return RegionKernel(body, _launches(function, node, rows), workspaces)


def _launches(function: Function, node: Node, rows: Dim) -> tuple[KernelLaunch, ...]:
    operands = [Operand("param", function.params.index(value)) for value in node.operands]
    x, indices, weights, gate_up, down, *biases = operands
    up_bias, down_bias = (biases[:1], biases[1:]) if biases else ([], [])
    result, (up_cost, down_cost) = Operand("result", 0), experts_costs(node)
    return (
        KernelLaunch("_sort", (indices, SORTED), (rows,), NOTHING),
        KernelLaunch("_up", (x, SORTED, gate_up, ACTIVE, *up_bias), (), up_cost),
        KernelLaunch("_down", (ACTIVE, SORTED, down, RESULTS, *down_bias), (), down_cost),
        KernelLaunch("_sum", (RESULTS, weights, result), (rows,), NOTHING),
    )


def _epilogues(node: Node, inner: int, hidden: int, biases: list[Value]) -> dict[str, object]:
    """C++ of what happens to the sums: biases of the expert, and the activation."""
    parts = 2 if node.attrs.get("gated", True) else 1
    gate = up = down = ""
    if biases:
        kind = CPP_TYPES[biases[0].dtype]
        table = f"(const {kind} *)launch->buffers[4]"
        gate = f" + load({table} + e * {parts * inner} + c, n)"
        up = f" + load({table} + e * {parts * inner} + {inner} + c, n)"
        down = f" + load({table} + e * {hidden} + c, n)"
    up_line = f"        const vf b = load(sums + span){up};\n" if parts == 2 else ""
    activation = CPP_SCALARS.text(str(node.attrs["activation"]), {"a": "a", "b": "b"})
    return {
        "gate_bias": gate,
        "up": up_line,
        "down_bias": down,
        "activation": activation,
        "parts": parts,
    }
