"""Emits "experts" regions: each token's sum over its chosen experts of two products.

Three launches: *sort* puts the (token, choice) pairs of an expert beside one another, in groups;
*up* multiplies the groups by gate and up and applies the activation; *down* multiplies by down, and
the block that brings a token's last product adds up all of them, in the order of its choices. An
expert's weights are read once for each of its groups. A step of one token needs no sorting. On
Hopper steps of many tokens are done as `experts_hopper` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...artifact.schema import GridTerm
from ...artifact.tuning_table import Configuration
from ...ir.graph import Function
from ...ir.types import Dim, DType
from . import experts_text as text
from .choice import choose
from .expert_problem import ExpertBlocks, Experts, ExpertTile, ExpertTiles
from .expert_region import ExpertRegion
from .expert_turns import turns_of
from .experts_hopper import experts_by_blocks
from .expressions import TRITON_SCALARS
from .kernel import Kernel, RegionKernels, Steps, grid_of, padded
from .streams import FLOATS

MAX_CHUNK = 2048  # indices that sorting looks at at once

Names = tuple[str, ...]
GridExtent = tuple[Dim, int, int] | int


def emit_experts(
    function: Function, steps: Steps, asked: Configuration | None = None
) -> RegionKernels:
    """The kernels of an experts region for steps of one size, in tiles that suit it or as asked."""
    region = ExpertRegion(function)
    problem = _problem(region, steps)
    choice = choose(problem, asked)
    if isinstance(choice.chosen, ExpertBlocks):
        return replace(experts_by_blocks(region, choice.chosen), choice=choice)
    emitter = _Emitter(region, choice.chosen)
    made = emitter.one_token() if problem.max_rows == 1 else emitter.tokens(steps)
    return replace(made, choice=choice)


def _problem(region: ExpertRegion, steps: Steps) -> Experts:
    has_warpgroups = steps.target is not None and steps.target.has_warpgroup_products
    return Experts(
        max_rows=None if steps.batch_invariant else steps.max_rows,  # one tile for all sizes
        num_experts=region.experts,
        k=region.k,
        hidden=region.hidden,
        inner=region.inner,
        itemsize=region.dtype.itemsize,
        batch_invariant=steps.batch_invariant,
        can_stay=has_warpgroups and region.dtype in FLOATS,
    )


class _Emitter:
    """The kernels of a region in tiles, a block each."""

    def __init__(self, region: ExpertRegion, tiles: ExpertTiles):
        self.region, self.tiles = region, tiles
        self.dtype, self.k, self.parts = region.dtype, region.k, region.parts
        self.experts, self.hidden, self.inner = region.experts, region.hidden, region.inner

    def one_token(self) -> RegionKernels:
        """Two launches: each choice is an expert's only one."""
        self.region.add_workspaces({"w_active": self.dtype})
        kernels = (
            self._up(text.UP_ONE, ("p_x", "p_indices"), self.k),
            self._down(text.DOWN_ONE, ("w_active", "p_indices"), ("p_weights", "o_out"), 1),
        )
        return RegionKernels(kernels, (Dim.of(self.k * self.inner * self.dtype.itemsize),))

    def tokens(self, steps: Steps) -> RegionKernels:
        """Three launches: sort, up, down."""
        pairs, tile = self.region.num_pairs, self.tiles.down
        is_wide = steps.max_rows is not None and not steps.batch_invariant
        products = DType.F32 if is_wide else self.dtype
        self.region.add_workspaces(
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
            self.region.num_tokens * (-(-self.hidden // tile.columns) * 4),
        )
        return RegionKernels(kernels, sizes, frozenset({4}))

    def _num_groups(self, steps: Steps) -> GridExtent:
        """As many as there can be: one for each pair, or full ones and one more an expert."""
        pairs, rows = self.region.num_pairs, self.tiles.up.rows
        if steps.max_rows and steps.max_rows * self.k * (rows - 1) <= self.experts * rows:
            return pairs, 1, 1
        return pairs + self.experts * rows, rows, 1

    def _sort(self, chunk: int) -> Kernel:
        bins, rows = padded(self.experts, 32), self.tiles.up.rows
        values = {"chunk": chunk, "bins": bins, "rows": rows, "experts": self.experts}
        names = ("p_indices", "w_order", "w_groups")
        body = text.SORT.format(names=", ".join((*names, "num_pairs")), **values)
        grid = grid_of(self.experts)
        return self.region.kernel("_sort", body, names, grid, (self.region.num_pairs,))

    def _up(self, template: str, sources: Names, slots: GridExtent) -> Kernel:
        tile = self.tiles.up
        activation = str(self.region.node.attrs["activation"])
        values = {
            **self._values(tile, self.hidden, self.inner, self.parts, "p_up_bias"),
            "activation": TRITON_SCALARS.text(activation, {"a": "sums0", "b": "sums1"}),
        }
        names = (*sources, "p_up", *self.region.bias("p_up_bias"), "w_active")
        grid = grid_of(-(-self.inner // tile.columns), slots)
        return self._kernel("_up", template, names, values, tile, grid)

    def _down(self, template: str, sources: Names, ends: Names, slots: GridExtent) -> Kernel:
        tile = self.tiles.down
        columns = -(-self.hidden // tile.columns)
        values = self._values(tile, self.inner, self.hidden, 1, "p_down_bias")
        values |= {"tiles": columns}
        if tile.rows == 1:
            values |= turns_of(self.region, tile, values)
        names = (*sources, "p_down", *self.region.bias("p_down_bias"), *ends)
        return self._kernel("_down", template, names, values, tile, grid_of(columns, slots))

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
        warps, stages = tile.num_warps, tile.num_stages
        return self.region.kernel(suffix, body, names, grid, num_warps=warps, num_stages=stages)

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
            for i in range(parts if self.region.has_biases else 0)
        ]
        return values | {"biases": "".join(biases)}


def _mask(inside: str) -> str:
    return f", mask={inside}, other=0.0" if inside else ""
