"""With `batch_invariant` a row is computed in one order of sums by the kernels of all sizes."""

import re
import subprocess
from pathlib import Path

import pytest
from traced import for_gpu

from tapeout import settings
from tapeout.codegen.triton.attention_parts import PART_KEYS
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.invariant_tiles import choose_invariant_tile
from tapeout.codegen.triton.program import VARIANTS, compile_gpu_program
from tapeout.ir.types import DType

TARGET = "cuda:sm_90"
MODELS = ["llama", "qwen3", "gemma2", "qwen3_moe", "gpt_oss"]
SIZES = [(2048, 2048), (16384, 2048), (6144, 4096), (4096, 14336), (515, 160), (128256, 4096)]


def program_of(name):
    return compile_gpu_program(for_gpu(name)[0], TARGET, batch_invariant=True)


@pytest.mark.parametrize("name", MODELS)
def test_the_kernels_of_all_sizes_are_one_or_cut_their_sums_alike(name):
    """All but products and attention have one text, save for the bounds of what they sort."""
    texts = {}
    for kernel, region in program_of(name).kernels.values():
        if not kernel.suffix.endswith("_sort"):
            code = re.sub(r'""".*?"""', "", kernel.body, flags=re.DOTALL)  # grids differ
            code = code.replace("    _let_next_begin()\n", "")
            texts.setdefault((region.region, kernel.suffix), set()).add(code)
    for (region, _), bodies in texts.items():
        if any("_join(" in body for body in bodies):
            assert all(f"part * {PART_KEYS}" in body for body in bodies), region
        elif all("tl.dot" in body and "num_rows" in body for body in bodies):
            assert len(bodies) <= 3, region
        else:
            assert len(bodies) == 1, region


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("num_weights", [1, 2])
def test_a_product_has_the_same_parts_of_k_for_every_number_of_rows(n, k, num_weights):
    sizes = [steps.max_rows for steps in VARIANTS["step"]]
    tiles = [choose_invariant_tile(rows, n, k, num_weights, DType.BF16).chosen for rows in sizes]
    [parts] = {max(tile.parts, tile.splits) for tile in tiles}
    assert all(k // parts % tile.depth == 0 for tile in tiles) or parts == 1
    assert min(tile.rows for tile in tiles) >= 64  # one instruction


def test_products_of_all_sizes_use_one_instruction():
    """The machine code of a tile: 64 rows by some columns, 16 of K at a time, one after another."""
    triton = pytest.importorskip("triton")
    tool = Path(triton.__path__[0]) / "backends/nvidia/bin/cuobjdump"
    kernels = {
        name: k for name, (k, _) in program_of("llama").kernels.items() if "tl.dot" in k.body
    }
    compiled = compile_kernels(kernels, TARGET, settings.CACHE.get() / "objects")
    for name, found in compiled.items():
        said = subprocess.run(
            [tool, "-sass", found.cubin], capture_output=True, text=True, check=True
        )
        used = set(re.findall(r"\b(HG?MMA\.\S+)", said.stdout))
        assert used and all(re.match(r"HGMMA\.64x\d+x16\.F32", word) for word in used), name
        assert found.local_bytes == 0, name
