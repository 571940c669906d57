"""Times sampling: microseconds for a row of logits, by what its request asks for.

    python bench/sampling.py [--vocab-sizes 49152,128256] [--repeats 100]

One thread, one row at a time; the time of an empty launch is in it. Logits are normal with a
deviation of 3; "sure" has a token far above them, as models often do; "flat" is all one value,
the worst case of the sets.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from report import report

from tapeout import settings
from tapeout.codegen.cpp.emit import EmittedRegion, emit_region
from tapeout.codegen.cpp.library import build_libraries, build_player
from tapeout.codegen.cpp.toolchain import LEVELS
from tapeout.ir.graph import Function, Module
from tapeout.ir.ops.dtypes import to_torch
from tapeout.ir.types import TensorType
from tapeout.passes.add_sampling import sampling_function
from tapeout.passes.group_regions import group_regions
from tapeout.runtime.player import Launch, Player, PlayerLibrary

NUM_TOKENS = 1000
NEUTRAL: dict[str, float] = {"top_p": 1.0, "repetition_penalty": 1.0}
NEUTRAL |= {"num_logprobs": -1, "num_prompt_logprobs": -1}
SETS = {"temperature": 0.8, "top_k": 50, "top_p": 0.9, "min_p": 0.05}
PENALTIES = {"repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.1}
REQUESTS: dict[str, dict[str, float]] = {
    "greedy": {},
    "temperature": {"temperature": 0.8},
    "top-k 50": {"temperature": 0.8, "top_k": 50},
    "top-p 0.9": {"temperature": 0.8, "top_p": 0.9},
    "min-p 0.05": {"temperature": 0.8, "min_p": 0.05},
    "all": SETS | PENALTIES,
    "all, logprobs": SETS | PENALTIES | {"num_logprobs": 5},
}
LOGITS = {
    "normal": lambda n: 3 * torch.randn(n),
    "sure": lambda n: (3 * torch.randn(n)).index_fill(0, torch.tensor([n // 3]), 25.0),
    "flat": lambda n: torch.ones(n),
}


class Sampler:
    """The kernel for one vocabulary on one row, and its operands by name."""

    def __init__(self, vocab_size: int, folder: Path) -> None:
        function = sampling_function(TensorType.of("f32", "R", vocab_size))
        module = Module({"sample": function}, ("sample",), {}, "paged")
        region = list(group_regions(module)[0].functions.values())[-1]
        sizes = {"R": 1, "N": 1, "L": NUM_TOKENS + 1}
        self.operands = {
            value.name: torch.zeros(value.type.concrete(sizes), dtype=to_torch(value.dtype))
            for value in region.params
        }
        self.operands["token_table"].random_(vocab_size)
        positions = {"sample_positions": NUM_TOKENS, "sample_places": NUM_TOKENS, "targets": -1}
        self.set({**positions, "num_prompt_tokens": NUM_TOKENS // 2})
        self._player, self._tape = self._load(region, emit_region(region, frozenset()), folder)

    def set(self, entries: dict[str, float]) -> None:
        """Puts numbers into one-element operands."""
        for name, value in entries.items():
            self.operands[name].fill_(value)

    def time_us(self, repeats: int) -> float:
        """The median over draws with different seeds."""
        times = []
        for seed in range(repeats):
            self.set({"seeds": seed})
            start = time.perf_counter()
            self._player.run(self._tape, (0, 0, 1, 0))
            times.append((time.perf_counter() - start) * 1e6)
        return median(times)

    def _load(self, region: Function, made: EmittedRegion, folder: Path) -> tuple[Player, int]:
        build_player(settings.objects_folder(), folder / "player.so")
        library = PlayerLibrary(folder / "player.so")
        level = next(level for level in LEVELS if library.supports(level))
        objects = settings.objects_folder()
        kernels = build_libraries({"sample.cpp": made.source}, [level], objects, folder)[level]
        sizes = {"R": 1, "N": 1, "L": 1}
        self._kept = {
            "param": list(self.operands.values()),
            "result": [
                torch.zeros(value.type.concrete(sizes), dtype=to_torch(value.dtype))
                for value in region.results
            ],
            "workspace": [
                torch.zeros(size.evaluate(sizes), dtype=torch.uint8) for size in made.workspaces
            ],
        }
        (launch,) = made.launches
        buffers = [self._kept[o.kind][int(o.place)].data_ptr() for o in launch.buffers]
        player = Player(library, kernels, 1)
        return player, player.add_tape([Launch(made.name, buffers, [(0, 0, 0, 1, 0)])])


@click.command()
@click.option("--vocab-sizes", default="49152,128256")
@click.option("--repeats", default=100)
def main(vocab_sizes: str, repeats: int) -> None:
    """Measures every request on every kind of row."""
    rows: list[dict[str, Any]] = []
    for vocab_size in map(int, vocab_sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            sampler = Sampler(vocab_size, Path(folder))
            for kind, make in LOGITS.items():
                torch.manual_seed(0)
                sampler.operands["logits"].copy_(make(vocab_size))
                row: dict[str, Any] = {"V": vocab_size, "logits": kind}
                for name, request in REQUESTS.items():
                    neutral = dict.fromkeys([*SETS, *PENALTIES], 0.0) | NEUTRAL
                    sampler.set(neutral | request)
                    row[name] = sampler.time_us(repeats)
                rows.append(row)
    report("sampling", rows, unit="microseconds", repeats=repeats)


if __name__ == "__main__":
    main()
