"""Times sampling on a GPU: microseconds for a batch of rows, by what the requests ask for.

    python bench/gpu_sampling.py [--vocab-size 128256] [--batches 1,32,256]

All three launches, replayed from a graph. Logits are normal with a deviation of 3.
"""

from collections.abc import Callable
from typing import Any

import click
import torch
from cubins import Cubin, graph_ms
from device import require_gpu
from report import report
from sampling import NEUTRAL, NUM_TOKENS, PENALTIES, REQUESTS, SETS

from tapeout import settings
from tapeout.artifact import evaluate
from tapeout.codegen.triton.compile import Compiled, compile_kernels
from tapeout.codegen.triton.emit import emit_region
from tapeout.codegen.triton.kernel import Kernel, Steps
from tapeout.ir.graph import Module
from tapeout.ir.ops.dtypes import to_torch
from tapeout.ir.types import TensorType
from tapeout.passes.add_sampling import sampling_function
from tapeout.passes.group_regions import group_regions

PARTS = {"logprobs": {"num_logprobs": 5}, "penalties": PENALTIES}
KINDS: dict[str, dict[str, float]] = REQUESTS | PARTS


class Sampler:
    """The kernels for a vocabulary and a batch, and their operands by name."""

    def __init__(self, vocab_size: int, batch: int) -> None:
        function = sampling_function(TensorType.of("f32", "R", vocab_size))
        module = Module({"sample": function}, ("sample",), {}, "paged")
        region = list(group_regions(module)[0].functions.values())[-1]
        made = emit_region(region, Steps("any"))
        self.sizes = {"R": batch, "N": batch, "L": batch * (NUM_TOKENS + 1)}
        self.operands = {
            value.name: torch.zeros(
                value.type.concrete(self.sizes), dtype=to_torch(value.dtype), device="cuda"
            )
            for value in region.params
        }
        self._tables = {
            "param": list(self.operands.values()),
            "result": [
                torch.zeros(v.type.concrete(self.sizes), dtype=to_torch(v.dtype), device="cuda")
                for v in region.results
            ],
            "workspace": [
                torch.zeros(size.evaluate(self.sizes), dtype=torch.uint8, device="cuda")
                for size in made.workspaces
            ],
        }
        self._fill(vocab_size, batch)
        kernels = {f"sample{kernel.suffix}": kernel for kernel in made.kernels}
        compiled = compile_kernels(kernels, "cuda:sm_90", settings.objects_folder())
        self._launches = [self._launch(kernels[name], compiled[name]) for name in kernels]

    def set(self, entries: dict[str, float]) -> None:
        """Puts numbers into the operands, for all rows."""
        for name, value in entries.items():
            self.operands[name].fill_(value)

    def time_us(self) -> float:
        """The median of a batch's launches, replayed from a graph."""
        return 1000 * graph_ms(lambda: [launch() for launch in self._launches] and None)

    def _fill(self, vocab_size: int, batch: int) -> None:
        torch.manual_seed(0)
        rows, stride = torch.arange(batch, device="cuda"), NUM_TOKENS + 1
        self.operands["logits"].normal_().mul_(3)
        self.operands["token_table"].random_(vocab_size)
        self.operands["sample_slots"].copy_(rows)
        self.operands["sample_places"].copy_(rows * stride + NUM_TOKENS)
        self.operands["seeds"].copy_(rows)
        numbers = {"sample_positions": NUM_TOKENS, "targets": -1}
        self.set(numbers | {"num_prompt_tokens": NUM_TOKENS // 2})

    def _launch(self, kernel: Kernel, made: Compiled) -> Callable[[], None]:
        cubin = Cubin(made.cubin, made.entry, made.num_warps, made.shared_bytes)
        buffers = [self._tables[o.kind][int(o.place)] for o in kernel.buffers]
        grid = [evaluate(t.extent, {"": 1} | self.sizes) * t.factor for t in kernel.grid]
        return lambda: cubin.launch(grid, buffers, ())


@click.command()
@click.option("--vocab-size", default=128256)
@click.option("--batches", default="1,32,256")
def main(vocab_size: int, batches: str) -> None:
    """Measures every kind of request in every batch."""
    require_gpu()
    rows: list[dict[str, Any]] = []
    for batch in map(int, batches.split(",")):
        sampler = Sampler(vocab_size, batch)
        row: dict[str, Any] = {"V": vocab_size, "batch": batch}
        for name, request in KINDS.items():
            sampler.set(dict.fromkeys([*SETS, *PENALTIES], 0.0) | NEUTRAL | request)
            row[name] = sampler.time_us()
        rows.append(row)
    gpu = torch.cuda.get_device_name()
    report("gpu_sampling", rows, unit="microseconds", gpu=gpu)


if __name__ == "__main__":
    main()
