"""Times the kernels of a layer of routed experts in some tiles, and checks what they compute.

python bench/experts.py [--tokens 1,8,64,256,2048] [--shape qwen3-30b-a3b] [--compile-only]
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from cubins import Cubin, graph_ms
from device import require_gpu
from report import BUILD

from tapeout import settings
from tapeout.artifact import evaluate
from tapeout.codegen.triton.choice import fields_of
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.expert_problem import ExpertBlocks, ExpertTiles
from tapeout.codegen.triton.experts import emit_experts
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS
from tapeout.ir.parser import parse_function

SHAPES = {  # H, I, experts, k
    "qwen3-30b-a3b": (2048, 768, 128, 8),
    "gpt-oss-20b": (2880, 2880, 32, 4),
    "odd": (1000, 328, 60, 6),
}
TARGET = "cuda:sm_90"
TEXT = """
func @mix(%x: bf16[T, {h}], %indices: i32[T, {k}], %weights: bf16[T, {k}],
          %up: bf16[{e}, {u}, {h}], %down: bf16[{e}, {h}, {i}]) {{anchor = "experts"}} {{
  %y: bf16[T, {h}] = experts(%x, %indices, %weights, %up, %down)
    {{activation = "(a / (1.0 + exp(-a))) * b"}}
  return %y
}}"""
MAX_ROWS = (1, 16, 32, 64, 128, 256, 512, 1024, None)  # of the variants of steps
NUM_CHOICES = 8  # random choices of experts that a graph goes through: more than caches hold
TOLERANCE = 8e-3


def tiles_of(function, steps: Steps) -> list[ExpertTiles | ExpertBlocks]:
    """The tiles that the compiler takes, then others."""
    choice = emit_experts(function, steps).choice
    taken = choice.chosen
    found = [taken, *choice.others]
    if steps.max_rows is not None and steps.max_rows > 64:
        return found
    if steps.max_rows == 1:
        ups = [(2, 2048, 2), (4, 1024, 3), (4, 512, 4), (8, 512, 3)]
        downs = [(4, 256, 8), (8, 256, 8), (8, 512, 4), (4, 512, 8)]
        found += [replace(taken, up_columns=a, up_depth=b, up_stages=c) for a, b, c in ups]
        found += [replace(taken, down_columns=a, down_depth=b, down_stages=c) for a, b, c in downs]
    elif steps.max_rows is None:
        for rows, columns, warps, stages in ((128, 64, 8, 3), (128, 128, 8, 4), (64, 128, 4, 3)):
            wide = min(256, 2 * columns)
            down = wide, 64, max(warps, wide // 32), 3
            found.append(ExpertTiles(rows, columns, 64, warps, stages, *down))
    else:
        for columns, depth, stages in ((16, 256, 4), (16, 128, 6), (32, 256, 3), (64, 64, 4)):
            up = {"up_columns": columns, "up_depth": depth, "up_stages": stages}
            down = {"down_columns": 2 * columns, "down_depth": depth, "down_stages": stages}
            found.append(replace(taken, **up, **down))
        if taken.rows > 16:
            found.append(replace(taken, rows=16))
    return found


class Layer:
    """Weights of a layer, and steps of some tokens over them."""

    def __init__(self, shape: tuple[int, ...], tokens: int):
        h, i, e, k = shape
        torch.manual_seed(tokens)
        self.shape, self.tokens = shape, tokens
        self.up, self.down = _weights(shape)
        self.x = torch.randn(tokens, h, device="cuda").bfloat16()
        self.shares = torch.rand(tokens, k, device="cuda").softmax(-1).bfloat16()
        scores = torch.rand(NUM_CHOICES, tokens, e, device="cuda")
        self.choices = [score.topk(k).indices.int() for score in scores]

    def reference(self, choices: torch.Tensor) -> torch.Tensor:
        """The layer's result in f32, expert by expert."""
        total = torch.zeros(self.x.shape, device="cuda")
        for expert in choices.unique().tolist():
            tokens, slots = (choices == expert).nonzero(as_tuple=True)
            gate, up = (self.x[tokens].float() @ self.up[expert].float().T).chunk(2, -1)
            active = (torch.nn.functional.silu(gate) * up).bfloat16().float()
            product = active @ self.down[expert].float().T
            shares = self.shares[tokens, slots].float()[:, None]
            total.index_add_(0, tokens, shares * product)
        return total

    def weight_bytes(self) -> float:
        """Bytes of the weights of the experts that a step chooses, on average."""
        h, i, _, _ = self.shape
        distinct = sum(len(choices.unique()) for choices in self.choices) / NUM_CHOICES
        return distinct * 3 * h * i * 2

    def flops(self) -> float:
        """Of a step."""
        h, i, _, k = self.shape
        return 6.0 * self.tokens * k * h * i


_KEPT: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = {}


def _weights(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    h, i, e, _ = shape
    if shape not in _KEPT:
        up = torch.randn(e, 2 * i, h, device="cuda", dtype=torch.bfloat16) / h**0.5
        down = torch.randn(e, h, i, device="cuda", dtype=torch.bfloat16) / i**0.5
        _KEPT[shape] = up, down
    return _KEPT[shape]


class Kernels:
    """The kernels of a step of a layer."""

    def __init__(self, made, compiled, layer: Layer):
        self.made, self.layer, self.sizes = made, layer, {"": 1, "T": layer.tokens}
        self.cubins = [
            Cubin(c.cubin, c.entry, c.num_warps, c.shared_bytes, c.maps) for c in compiled
        ]
        self.workspaces = [
            torch.full([size.evaluate(self.sizes)], 255, device="cuda", dtype=torch.uint8)
            for size in made.workspaces
        ]
        for place in made.tickets:
            self.workspaces[place].zero_()
        self.result = torch.full_like(layer.x, float("nan"))

    def launch(self, place: int, choices: torch.Tensor) -> None:
        """Queues one kernel."""
        layer, kernel = self.layer, self.made.kernels[place]
        params = [layer.x, choices, layer.shares, layer.up, layer.down]
        tables = {"param": params, "result": [self.result], "workspace": self.workspaces}
        buffers = [tables[operand.kind][operand.place] for operand in kernel.buffers]
        grid = [
            max(1, -(-evaluate(t.extent, self.sizes) // t.divisor)) * t.factor for t in kernel.grid
        ]
        scalars = [scalar.evaluate(self.sizes) for scalar in kernel.scalars]
        self.cubins[place].launch(grid, buffers, scalars)

    def check(self) -> float:
        """How far results are off; raises when that is too far."""
        worst = 0.0
        for choices in self.layer.choices[:2]:
            self.result.fill_(float("nan"))
            for place in range(len(self.cubins)):
                self.launch(place, choices)
            wanted = self.layer.reference(choices)
            error = float((self.result.float() - wanted).norm() / wanted.norm())
            left = any(self.workspaces[place].any() for place in self.made.tickets)
            if not error <= TOLERANCE or left:
                raise SystemExit(f"{self.layer.tokens} tokens: error {error}, tickets {left}")
            worst = max(worst, error)
        return worst

    def microseconds(self, places: Iterable[int]) -> float:
        """Of those kernels, for a step; each finds what those before it have left."""

        def run() -> None:
            for choices in self.layer.choices:
                for place in places:
                    self.launch(place, choices)

        return graph_ms(run) * 1e3 / NUM_CHOICES


def main() -> None:
    """Prints times of each number of tokens in each of the tiles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", default="1,8,64,256,2048")
    parser.add_argument("--shape", default="qwen3-30b-a3b", choices=SHAPES)
    parser.add_argument("--compile-only", action="store_true", help="needs no GPU")
    parser.add_argument("--record", type=Path, default=BUILD / "experts.json")
    options = parser.parse_args()
    if not options.compile_only:
        require_gpu()
    shape = SHAPES[options.shape]
    sizes = dict(zip("hiek", shape, strict=True))
    function = parse_function(TEXT.format(**sizes, u=2 * sizes["i"]))
    cases = []
    for tokens in map(int, options.tokens.split(",")):
        rows = next(rows for rows in MAX_ROWS if rows is None or tokens <= rows)
        steps = Steps("bench", rows, target=TARGETS[TARGET])
        for tiles in tiles_of(function, steps):
            cases.append((tokens, tiles, emit_experts(function, steps, fields_of(tiles))))
    kernels = {
        f"case{i}{kernel.suffix}": kernel
        for i, (_, _, made) in enumerate(cases)
        for kernel in made.kernels
    }
    compiled = compile_kernels(kernels, TARGET, settings.objects_folder())
    if not options.compile_only:
        _measure(shape, cases, compiled, options.record)


def _measure(shape, cases, compiled, record: Path) -> None:
    rows = []
    for i, (tokens, tiles, made) in enumerate(cases):
        found = [compiled[f"case{i}{kernel.suffix}"] for kernel in made.kernels]
        names = [kernel.suffix[1:] for kernel in made.kernels]
        if any(c.local_bytes or c.shared_bytes > 227 << 10 for c in found):
            continue
        kernels = Kernels(made, found, Layer(shape, tokens))
        error = kernels.check()
        ends = [kernels.microseconds(range(place + 1)) for place in range(len(names))]
        starts, total = [0.0, *ends], ends[-1]
        times = {n: end - start for n, end, start in zip(names, ends, starts, strict=False)}
        row = {"tokens": tokens, "tiles": fields_of(tiles)}
        row |= {"us": total, "error": error, **times}
        row["tb_per_s"] = kernels.layer.weight_bytes() / total / 1e6
        row["tflop_per_s"] = kernels.layer.flops() / total / 1e6
        rows.append(row)
        parts = " ".join(f"{name} {us:6.1f}" for name, us in times.items())
        print(
            f"T {tokens:5d} {total:8.1f} us {row['tb_per_s']:.2f} TB/s "
            f"{row['tflop_per_s']:6.1f} TFLOP/s  {parts}  {row['tiles']} error {error:.1e}",
            flush=True,
        )
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
