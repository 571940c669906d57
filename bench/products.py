"""Times the products of decode steps in many tiles, over weights that no cache holds.

python bench/products.py [--rows 1,16,32,64]
"""

import argparse
import json
from itertools import product

import torch
from cubins import Cubin, graph_ms
from report import BUILD

from tapeout import settings
from tapeout.artifact import evaluate
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.linear import emit_linear
from tapeout.codegen.triton.tiles import Tile, choose_tile
from tapeout.ir.parser import parse_function
from tapeout.ir.types import DType

# (columns, depth, weights) of each product
PRODUCTS = {
    "1b": [(3072, 2048, 1), (2048, 2048, 1), (8192, 2048, 2), (2048, 8192, 1), (128256, 2048, 1)],
    "8b": [(6144, 4096, 1), (4096, 4096, 1), (14336, 4096, 2), (4096, 14336, 1)],
    "0.6b": [(4096, 1024, 1), (1024, 2048, 1), (3072, 1024, 2), (1024, 3072, 1)],
}
ONE = """func @f(%x: bf16[T, {k}], %w: bf16[{n}, {k}], %a: bf16[T, {n}]) {{anchor = "linear"}} {{
  %y: bf16[T, {n}] = linear(%x, %w)
  %z: bf16[T, {n}] = add(%a, %y)
  return %z
}}"""
TWO = """func @f(%x: bf16[T, {k}], %w: bf16[{n}, {k}], %v: bf16[{n}, {k}]) {{anchor = "linear"}} {{
  %g: bf16[T, {n}] = linear(%x, %w)
  %s: bf16[T, {n}] = silu(%g)
  %u: bf16[T, {n}] = linear(%x, %v)
  %y: bf16[T, {n}] = mul(%s, %u)
  return %y
}}"""
COLD_BYTES = 400 << 20


def tiles(rows: int, n: int, k: int, weights: int) -> list[Tile]:
    """The one that the compiler takes, then others."""
    found = [choose_tile(rows, n, k, weights, DType.BF16)]
    if rows == 1:
        choices = ((2, 1024), (2, 2048), (4, 512), (4, 1024), (8, 512), (8, 1024), (16, 256))
        found += [Tile(1, max(1, c // weights), d, 4, 3) for c, d in choices]
        found += [Tile(1, 4, 1024, 8, 3), Tile(1, 4, 1024, 4, 2)]
    elif rows <= 16:
        choices = product((16, 32, 64), (128, 256), (3, 5))
        found += [Tile(16, c, d, 4, s) for c, d, s in choices if c * d * weights <= 16384]
    elif rows > 64:
        choices = product((64, 128), (32, 64, 128), (64, 128), (4, 8), (3, 4))
        found += [
            Tile(r, c, d, w, s)
            for r, c, d, w, s in choices
            if (r + c * weights) * d * s <= 100000 and (w == 8) == (r * c * weights > 8192)
        ]
    else:
        choices = product((32, 64, 128), (64, 128), (3, 4))
        found += [Tile(rows, c, d, 4, s) for c, d, s in choices if c * d * weights <= 16384]
    return list(dict.fromkeys(found))


def main() -> None:
    """Prints the best tiles of each product, and the one that would be taken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="1,16,32,64")
    parser.add_argument("--compile-only", action="store_true", help="needs no GPU")
    parser.add_argument("--models", default="1b,8b,0.6b")
    options = parser.parse_args()
    all_rows = [int(text) for text in options.rows.split(",")]
    if max(all_rows) > 256:
        parser.error(f"--rows {options.rows}: products of more than 256 rows take tensor maps")
    cases = [
        (rows, shape, tile)
        for name in options.models.split(",")
        for shape in PRODUCTS[name]
        for rows in all_rows
        for tile in tiles(rows, *shape)
    ]
    regions = {
        f"case{i}": emit_linear(_function(shape), Steps("bench", rows), tile)
        for i, (rows, shape, tile) in enumerate(cases)
    }
    kernels = {name: region.kernels[0] for name, region in regions.items()}
    compiled = compile_kernels(kernels, "cuda:sm_90", settings.CACHE.get() / "objects")
    if options.compile_only:
        return
    results: dict[str, list[tuple[float, Tile, bool]]] = {}
    for i, (rows, shape, tile) in enumerate(cases):
        made = compiled[f"case{i}"]
        if made.shared_bytes > 227 << 10 or made.local_bytes:
            continue
        name = f"{shape[0]}x{shape[1]}" + "*2" * (shape[2] - 1) + f" t{rows}"
        first = not any(key == name for key in results)
        cubin = Cubin(made.cubin, made.entry, made.num_warps, made.shared_bytes)
        rate = _tb_per_s(cubin, regions[f"case{i}"], shape, rows)
        results.setdefault(name, []).append((rate, tile, first))
    _print(results)


def _function(shape: tuple[int, int, int]):
    n, k, weights = shape
    return parse_function((ONE if weights == 1 else TWO).format(n=n, k=k))


def _tb_per_s(cubin: Cubin, region, shape: tuple[int, int, int], rows: int) -> float:
    [kernel] = region.kernels
    n, k, weights = shape
    num_bytes = n * k * 2 * weights
    copies = max(2, min(64, -(-COLD_BYTES // num_bytes)))
    key = (n, k, weights, copies)
    if key not in _WEIGHTS:
        _WEIGHTS.clear()
        _WEIGHTS[key] = [
            [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(weights)]
            for _ in range(copies)
        ]
    x = torch.randn(rows, k, device="cuda", dtype=torch.bfloat16)
    a, y = (torch.randn(rows, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    rest = [a, y] if weights == 1 else [y]
    sizes = {"": 1, "T": rows}
    num_bytes_of = [size.evaluate(sizes) for size in region.workspaces]
    rest += [torch.zeros(size, device="cuda", dtype=torch.uint8) for size in num_bytes_of]
    grid = [max(1, -(-evaluate(t.extent, sizes) // t.divisor)) * t.factor for t in kernel.grid]
    scalars = [scalar.evaluate(sizes) for scalar in kernel.scalars]

    def run() -> None:
        for ws in _WEIGHTS[key]:
            cubin.launch(grid, [x, *ws, *rest], scalars)

    return num_bytes * copies / graph_ms(run) / 1e9


_WEIGHTS: dict[tuple[int, ...], list[list[torch.Tensor]]] = {}


def _print(results: dict[str, list[tuple[float, Tile, bool]]]) -> None:
    table = {}
    for name, found in results.items():
        taken = next(rate for rate, _, first in found if first)
        best = sorted(found, key=lambda entry: -entry[0])[:3]
        table[name] = {"taken": taken, "best": [[r, vars(t)] for r, t, _ in best]}
        tops = "  ".join(
            f"{r:.2f} ({t.columns}x{t.depth} w{t.num_warps} s{t.num_stages})" for r, t, _ in best
        )
        print(f"{name:24s} taken {taken:.2f} TB/s   best {tops}")
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "products.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
