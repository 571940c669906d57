"""Every kernel of the tiny models is compiled for the GPU, which need not be there."""

import pytest
from models import CONFIGS, tiny_config

from tapeout import settings
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.program import compile_gpu_program
from tapeout.frontend.trace import trace_config
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.pipeline import STAGES
from tapeout.passes.run import run_stages

pytest.importorskip("triton")
TARGET = "cuda:sm_90"
SHARED_BYTES = 227 << 10  # of a block, on an H100
SLOW_PATH_BYTES = 64  # of the reduction of large angles: sines and cosines keep an array
QUICK = ("llama",)


def program_of(name):
    module = run_stages(verify(trace_config(tiny_config(name), DType.BF16)), STAGES)[0]
    return compile_gpu_program(module)


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CONFIGS],
)
def test_no_kernel_spills_or_takes_more_shared_memory_than_there_is(name):
    kernels = {n: kernel for n, (kernel, _) in program_of(name).kernels.items()}
    compiled = compile_kernels(kernels, TARGET, settings.CACHE.get() / "objects")
    for kernel, found in compiled.items():
        assert found.local_bytes <= SLOW_PATH_BYTES * ("cos" in kernel), kernel
        assert found.shared_bytes <= SHARED_BYTES, kernel
        assert found.registers <= 65536 // (32 * found.num_warps), kernel


def test_every_tape_takes_its_steps_and_one_takes_any():
    program = program_of("llama")
    tapes = program.tapes
    assert list(tapes)[0] == "step.decode1" and tapes["step.decode1"]["one_token_each"]
    assert tapes["step.any"]["max_rows"] is None and not tapes["step.any"]["one_token_each"]
    assert set(program.outputs) >= {"logits", "sampled"}
    for tape in tapes.values():
        assert all(len(launch["grid"]) == 3 for launch in tape["launches"])
