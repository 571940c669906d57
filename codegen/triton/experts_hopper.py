"""Routed experts on Hopper in steps of many tokens: products by blocks that stay.

Five launches: *count* counts choices; *place* puts an expert's rows of x beside one another, in
groups; *up* multiplies the groups by gate and up and applies the activation, *down* by down; *sum*
adds up a token's products, in the order of its choices. An expert's products take
the place of its rows in their workspace, for up has read these before down begins.
"""

from __future__ import annotations

from ...ir.types import Dim, DType
from ..cpp.cost import Cost
from . import experts_hopper_text as text
from .expert_problem import ExpertBlocks
from .expert_region import ExpertRegion
from .expressions import TRITON_SCALARS
from .kernel import Box, Kernel, RegionKernels, grid_of, padded
from .persistent_body import PersistentBody, Weight
from .persistent_tiles import DEPTH, PART, WARPGROUPS
from .tiles import NUM_MULTIPROCESSORS

_CHUNK = 128  # tokens whose choices are counted together
_BLOCK = 64  # pairs that a block finds a place for, at most
_COUNTS = 4096  # that are added up at once
_COLUMNS = 256  # of a row that are moved at once
_TOKENS = 4  # that a block adds up, of these
_SUM_COLUMNS = 512


def experts_by_blocks(region: ExpertRegion, form: ExpertBlocks) -> RegionKernels:
    """The launches of a region for steps of any number of tokens."""
    bins = padded(region.experts, 32)
    region.add_workspaces(
        {
            "w_counts": DType.I32,
            "w_groups": DType.I32,
            "w_places": DType.I32,
            "w_active": region.dtype,
            "w_rows": region.dtype,
        }
    )
    pairs, itemsize = region.num_pairs, region.dtype.itemsize
    kernels = (
        _count(region, bins),
        _place(region, form, bins),
        _up(region, form),
        _down(region, form),
        _sum(region),
    )
    sizes = (
        region.num_tokens * (-(-bins // _CHUNK) * 4) + bins * 4,
        pairs * 4 + (region.experts + 1) * 12,
        pairs * 4,
        pairs * (region.inner * itemsize),
        pairs * (region.hidden * itemsize),
    )
    return RegionKernels(kernels, sizes)


def _count(region: ExpertRegion, bins: int) -> Kernel:
    chunk = _CHUNK * region.k
    body = text.COUNT.format(
        chunk=chunk, padded_chunk=padded(chunk, 32), bins=bins, experts=region.experts
    )
    grid = grid_of((region.num_tokens, _CHUNK, 1))
    return region.kernel("_count", body, ("p_indices", "w_counts"), grid, (region.num_pairs,))


def _place(region: ExpertRegion, form: ExpertBlocks, bins: int) -> Kernel:
    tokens, chunk = max(1, _BLOCK // padded(region.k)), _CHUNK * region.k
    columns = min(_COLUMNS, padded(region.hidden, 16))
    block = tokens * region.k
    body = text.PLACE.format(
        **{"k": region.k, "experts": region.experts, "hidden": region.hidden, "bins": bins},
        **{"chunk": chunk, "padded_chunk": padded(chunk, 32), "rows": form.rows},
        **{"block": block, "padded_block": padded(block, 32), "columns": columns},
        counts_at_once=max(1, _COUNTS // bins),
        inside=_inside(region.hidden, columns),
    )
    names = ("p_x", "p_indices", "w_counts", "w_groups", "w_places", "w_rows")
    grid = grid_of((region.num_tokens, tokens, 1))
    cost = Cost(_rows_bytes(region), Dim())
    return region.kernel("_place", body, names, grid, (region.num_pairs,), cost=cost)


def _up(region: ExpertRegion, form: ExpertBlocks) -> Kernel:
    activation = str(region.node.attrs["activation"])
    result = TRITON_SCALARS.text(activation, {"a": "sums0", "b": "sums1"})
    sizes = region.hidden, region.inner, region.parts
    return _product(region, form, "_up", ("w_rows", "p_up", "w_active"), sizes, result)


def _down(region: ExpertRegion, form: ExpertBlocks) -> Kernel:
    sizes = region.inner, region.hidden, 1
    return _product(region, form, "_down", ("w_active", "p_down", "w_rows"), sizes, "sums0")


def _product(
    region: ExpertRegion,
    form: ExpertBlocks,
    suffix: str,
    names: tuple[str, str, str],
    sizes: tuple[int, int, int],
    result: str,
) -> Kernel:
    """The product of the first of ``names`` by the second, into the third. ``sizes`` are K, the
    columns of a weight, and how many weights an expert has one after another."""
    (x, weight, target), (k, n, parts) = names, sizes
    biases = region.bias(f"{weight}_bias")
    taken = (x, weight, *biases, target, "w_groups")
    body = PersistentBody(
        signature=", ".join(taken),
        dtype=region.dtype,
        n=n,
        k=k,
        x=x,
        weights=[Weight(weight, f"expert * {parts * n} + {i * n} + column") for i in range(parts)],
        told="w_groups",
        places=text.BY_GROUPS,
        others=", ".join((*biases, target)),
        epilogue=[
            text.BIAS.format(part=i, name=bias, row=parts * n, start=i * n, mask=_mask(n))
            for bias in biases
            for i in range(parts)
        ],
        result=f"({result})",
        target=target,
    )
    columns = body.columns_of_each
    return region.kernel(
        suffix,
        body.text(),
        taken,
        grid_of(NUM_MULTIPROCESSORS),
        tiles=grid_of((_rows_of_groups(region, form), form.rows, 1), -(-n // columns)),
        more_warps=4 * WARPGROUPS,  # the last four for the one that copies
        boxes=(Box(0, k, PART, DEPTH), Box(1, k, columns, DEPTH)),
        cost=_product_cost(region, suffix),
    )


def _rows_of_groups(region: ExpertRegion, form: ExpertBlocks) -> Dim:
    """Of all groups, with those that are idle: half of an expert's last group, on average."""
    return region.num_pairs + region.experts * (form.rows // 2)


def _product_cost(region: ExpertRegion, suffix: str) -> Cost:
    """That of a product whose rows of the model's width are those of pairs, not of tokens."""
    cost = region.costs[suffix]
    more = region.num_pairs - region.num_tokens
    return cost._replace(bytes=cost.bytes + more * (region.hidden * region.dtype.itemsize))


def _sum(region: ExpertRegion) -> Kernel:
    columns = min(_SUM_COLUMNS, padded(region.hidden, 16))
    body = text.SUM.format(
        **{"k": region.k, "hidden": region.hidden, "tokens": _TOKENS, "columns": columns},
        inside=_inside(region.hidden, columns),
    )
    names = ("p_weights", "w_places", "w_rows", "o_out")
    grid = grid_of((region.num_tokens, _TOKENS, 1), -(-region.hidden // columns))
    cost = Cost(_rows_bytes(region), region.num_pairs * (2 * region.hidden))
    return region.kernel("_sum", body, names, grid, (region.num_tokens,), cost=cost)


def _rows_bytes(region: ExpertRegion) -> Dim:
    """What moves between tokens and pairs."""
    rows = region.num_tokens + region.num_pairs
    return rows * (region.hidden * region.dtype.itemsize)


def _inside(size: int, columns: int) -> str:
    return f" & (d < {size})" if size % columns else ""


def _mask(n: int) -> str:
    """Of columns that a last tile may lack."""
    return f", mask=n < {n}, other=0.0"
