"""Emits "experts" regions: each token's sum over its chosen experts of two products.

Three launches: *sort* puts the (token, choice) pairs of an expert beside one another, in groups;
*up* multiplies the groups by gate and up and applies the activation; *down* multiplies by down, and
the block that brings a token's last product adds up all of them, in the order of its choices. An
expert's weights are read once for each of its groups. A step of one token needs no sorting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...artifact.schema import GridTerm
from ...artifact.tuning_table import Configuration
from ...ir.graph import Function, Node
from ...ir.types import Dim, DType
from ..cpp.cost import NOTHING, experts_costs
from . import experts_text as text
from .choice import choose
from .expert_problem import Experts, ExpertTile, ExpertTiles
from .expressions import TRITON_SCALARS
from .kernel import TYPES, Kernel, Operand, RegionKernels, Steps, grid_of, padded, pointer_type

MAX_CHUNK = 2048  # indices that sorting looks at at once


def emit_experts(
    function: Function, steps: Steps, asked: Configuration | None = None
) -> RegionKernels:
    """The kernels of an experts region for steps of one size, in tiles that suit it or as asked."""
    (node,) = function.nodes
    problem = _problem(node, steps)
    choice = choose(problem, asked)
    emitter = _Emitter(function, node, choice.chosen)
    made = emitter.one_token() if problem.max_rows == 1 else emitter.tokens(steps)
    return replace(made, choice=choice)


def _problem(node: Node, steps: Steps) -> Experts:
    num_experts, hidden, inner = (int(dim) for dim in node.operands[4].shape)
    return Experts(
        max_rows=None if steps.batch_invariant else steps.max_rows,  # one tile for all sizes
        num_experts=num_experts,
        k=int(node.operands[1].shape[1]),
        hidden=hidden,
        inner=inner,
        itemsize=node.operands[0].dtype.itemsize,
        batch_invariant=steps.batch_invariant,
    )


PARAMETERS = ("p_x", "p_indices", "p_weights", "p_up", "p_down", "p_up_bias", "p_down_bias")
Names = tuple[str, ...]
GridExtent = tuple[Dim, int, int] | int


class _Emitter:
    """The kernels of a region. ``buffers`` are the pointers that they may take, by name."""

    def __init__(self, function: Function, node: Node, tiles: ExpertTiles):
        x, indices, weights, gate_up, down, *biases = node.operands
        assert x.dtype is gate_up.dtype is down.dtype, f"{function.name}: {x} by {gate_up}"
        self.node, self.tiles, self.biases, self.dtype = node, tiles, biases, x.dtype
        self.experts, self.hidden, self.inner = (int(dim) for dim in down.shape)
        self.costs = dict(zip(("_up", "_down"), experts_costs(node), strict=True))
        self.num_tokens, self.k = indices.shape[0], int(indices.shape[1])
        self.parts = int(gate_up.shape[1]) // self.inner
        self.buffers = {
            name: (Operand("param", function.params.index(value)), pointer_type(value))
            for name, value in zip(PARAMETERS, node.operands, strict=False)
        }
        self.buffers["o_out"] = (Operand("result", 0), pointer_type(x))

    def one_token(self) -> RegionKernels:
        """Two launches: each choice is an expert's only one."""
        self._add_workspaces({"w_active": self.dtype})
        kernels = (
            self._up(text.UP_ONE, ("p_x", "p_indices"), self.k),
            self._down(text.DOWN_ONE, ("w_active", "p_indices"), ("p_weights", "o_out"), 1),
        )
        return RegionKernels(kernels, (Dim.of(self.k * self.inner * self.dtype.itemsize),))

    def tokens(self, steps: Steps) -> RegionKernels:
        """Three launches: sort, up, down."""
        pairs, tile = self.num_tokens * self.k, self.tiles.down
        is_wide = steps.max_rows is not None and not steps.batch_invariant
        products = DType.F32 if is_wide else self.dtype
        self._add_workspaces(
            {
                "w_order": DType.I32,
                "w_groups": DType.I32,
                "w_active": self.dtype,
                "w_products": products,
                "w_tickets": DType.I32,
            }
        )
        groups = self._num_groups(steps)
        sums = ("p_weights", "w_products", "w_tickets", "o_out")
        kernels = (
            self._sort(min(MAX_CHUNK, padded((steps.max_rows or MAX_CHUNK) * self.k, 32))),
            self._up(text.UP, ("p_x", "w_order", "w_groups"), groups),
            self._down(text.DOWN, ("w_active", "w_order", "w_groups"), sums, groups),
        )
        sizes = (
            pairs * 4,
            (pairs + self.experts + 1) * 12,  # all that the grid has, with what no group fills
            pairs * (self.inner * self.dtype.itemsize),
            pairs * (self.hidden * products.itemsize),
            self.num_tokens * (-(-self.hidden // tile.columns) * 4),
        )
        return RegionKernels(kernels, sizes, frozenset({4}))

    def _add_workspaces(self, types: Mapping[str, DType]) -> None:
        for place, (name, dtype) in enumerate(types.items()):
            self.buffers[name] = (Operand("workspace", place), "*" + TYPES[dtype])

    def _num_groups(self, steps: Steps) -> GridExtent:
        """As many as there can be: one for each pair, or full ones and one more an expert."""
        pairs, rows = self.num_tokens * self.k, self.tiles.up.rows
        if steps.max_rows and steps.max_rows * self.k * (rows - 1) <= self.experts * rows:
            return pairs, 1, 1
        return pairs + self.experts * rows, rows, 1

    def _sort(self, chunk: int) -> Kernel:
        bins, rows = padded(self.experts, 32), self.tiles.up.rows
        values = {"chunk": chunk, "bins": bins, "rows": rows, "experts": self.experts}
        names = ("p_indices", "w_order", "w_groups")
        body = text.SORT.format(names=", ".join((*names, "num_pairs")), **values)
        scalars = (self.num_tokens * self.k,)
        grid = grid_of(self.experts)
        return Kernel("_sort", body, *self._operands(names), scalars, grid, cost=NOTHING)

    def _up(self, template: str, sources: Names, slots: GridExtent) -> Kernel:
        tile = self.tiles.up
        activation = str(self.node.attrs["activation"])
        values = {
            **self._values(tile, self.hidden, self.inner, self.parts, "p_up_bias"),
            "activation": TRITON_SCALARS.text(activation, {"a": "sums0", "b": "sums1"}),
        }
        names = (*sources, "p_up", *self._bias("p_up_bias"), "w_active")
        grid = grid_of(-(-self.inner // tile.columns), slots)
        return self._kernel("_up", template, names, values, tile, grid)

    def _down(self, template: str, sources: Names, ends: Names, slots: GridExtent) -> Kernel:
        tile = self.tiles.down
        columns, steps = -(-self.hidden // tile.columns), -(-self.inner // tile.depth)
        values = self._values(tile, self.inner, self.hidden, 1, "p_down_bias")
        values |= {"tiles": columns, "steps": steps, "turns": self.k * steps}
        if self.biases and tile.rows == 1:
            values["biases"] = text.DOWN_ONE_BIAS.format(**values)
        names = (*sources, "p_down", *self._bias("p_down_bias"), *ends)
        return self._kernel("_down", template, names, values, tile, grid_of(columns, slots))

    def _bias(self, name: str) -> Names:
        return (name,) if name in self.buffers else ()

    def _kernel(
        self,
        suffix: str,
        template: str,
        names: Names,
        values: Mapping[str, object],
        tile: ExpertTile,
        grid: tuple[GridTerm, ...],
    ) -> Kernel:
        body = template.format(names=", ".join(names), **values)
        cost = self.costs[suffix]
        launch = (*self._operands(names), (), grid, tile.num_warps, tile.num_stages)
        return Kernel(suffix, body, *launch, cost=cost)

    def _operands(self, names: Names) -> tuple[tuple[Operand, ...], tuple[str, ...]]:
        operands, types = zip(*(self.buffers[name] for name in names), strict=True)
        return operands, types

    def _values(
        self, tile: ExpertTile, depth: int, size: int, parts: int, bias: str
    ) -> dict[str, object]:
        """What fills the text of a product of ``parts * size`` rows of weights, ``depth`` long."""
        is_vector = tile.rows == 1
        n, d = ("n[:, None]", "d[None, :]") if is_vector else ("n[None, :]", "d[:, None]")
        n_inside = f"({{n}} < {size})" if size % tile.columns else ""
        d_inside = f"({{d}} < {depth})" if depth % tile.depth else ""
        both = " & ".join(filter(None, (d_inside, n_inside))).format(n=n, d=d)
        values: dict[str, object] = {
            **{"rows": tile.rows, "columns": tile.columns, "step": tile.depth},
            **{"depth": depth, "k": self.k, "experts": self.experts, "inner": self.inner},
            **{"hidden": self.hidden, "token_elements": self.k * self.hidden},
            **{"weight_elements": parts * size * depth, "num_stages": tile.num_stages},
            "precision": ', input_precision="ieee"' if self.dtype is DType.F32 else "",
            "w_mask": _mask(both),
            "n_and": f" & {n_inside}".format(n=n) if n_inside else "",
            "d_and": f" & {d_inside}".format(d="d[None, :]") if d_inside else "",
            "n_mask": _mask(n_inside.format(n="n")).replace(", other=0.0", ""),
            "n_load_mask": _mask(n_inside.format(n="n")),
            "d_mask": _mask(d_inside.format(d="d")),
        }
        second = text.SECOND_ONE if is_vector else text.SECOND
        zeros = text.ZEROS_ONE if is_vector else text.ZEROS
        more = parts - 1
        values |= {
            "zeros": zeros.format(**values) * more,
            "folds": text.FOLD * more,
            "second": second.format(elements=size * depth, **values) * more,
        }
        axis = "" if is_vector else "[None, :]"
        biases = [
            text.BIAS.format(
                part=i, name=bias, row=parts * size, start=i * size, axis=axis, **values
            )
            for i in range(parts if self.biases else 0)
        ]
        return values | {"biases": "".join(biases)}


def _mask(inside: str) -> str:
    return f", mask={inside}, other=0.0" if inside else ""
