"""Every kernel of the tiny models is compiled for GPUs, which need not be there."""

import gzip
import re
from dataclasses import replace
from functools import cache

import pytest
from models import CONFIGS, tiny_config
from traced import for_gpu

from tapeout import settings
from tapeout.codegen.step_rows import params_taken
from tapeout.codegen.triton import compile as compile_module
from tapeout.codegen.triton.compile import Compiler, compile_kernels
from tapeout.codegen.triton.program import compile_gpu_program
from tapeout.codegen.triton.targets import TARGETS
from tapeout.codegen.triton.workers import Workers
from tapeout.errors import BuildError
from tapeout.frontend.trace import trace_config
from tapeout.ir.parser import parse_function
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.pipeline import GPU_STAGES
from tapeout.passes.run import run_stages

pytest.importorskip("triton")
MAIN = "cuda:sm_90"
SLOW_PATH_BYTES = 64  # of the reduction of large angles: sines and cosines keep an array
OTHERS = [target for target in TARGETS if target != MAIN]


OF_KNOWN_KINDS = ("llama_llama3_rope", "llama_linear_rope", "mistral", "qwen2")
"""Models whose kernels are those of others in other sizes, which are compiled with the slow."""
OF_ALL_KINDS = tuple(name for name in CONFIGS if name not in OF_KNOWN_KINDS)
models = pytest.mark.parametrize(
    "models",
    [OF_ALL_KINDS, pytest.param(OF_KNOWN_KINDS, marks=pytest.mark.slow)],
    ids=["of all kinds", "of known kinds"],
)


@cache
def program_of(name, target=MAIN):
    return compile_gpu_program(for_gpu(name)[0], target)


@cache
def kernels_of(models=tuple(CONFIGS), target=MAIN):
    """Kernels of equal text are one, whatever model they come from.

    The first to have a name keeps it, so that what a build of that model has compiled is taken.
    """
    found, texts = {}, set()
    for name in models:
        for place, (kernel, _) in program_of(name, target).kernels.items():
            text = kernel.source_as(""), kernel.types, kernel.num_warps, kernel.num_stages
            if text not in texts:
                texts.add(text)
                found[f"{name}_{place}" if place in found else place] = kernel
    return found


def compiled_for(target, kernels):
    return compile_kernels(kernels, target, settings.CACHE.get() / "objects")


@pytest.mark.parametrize(
    "target", [MAIN, *(pytest.param(other, marks=pytest.mark.slow) for other in OTHERS)]
)
@models
def test_every_kernel_compiles_and_fits_its_target(models, target):
    limits, kernels = TARGETS[target], kernels_of(models, target)
    compiled = compiled_for(target, kernels)
    assert set(compiled) == set(kernels)
    for kernel, found in compiled.items():
        assert found.cubin.suffix == f".{limits.binary}" and found.cubin.stat().st_size, kernel
        assert found.shared_bytes <= limits.shared_bytes, kernel
        threads = limits.warp_size * found.num_warps
        assert threads <= 1024 and found.registers * threads <= limits.registers, kernel


def test_the_text_of_machine_code_is_kept_and_is_the_same_in_every_build(tmp_path):
    name, (kernel, _) = next(iter(program_of("llama").kernels.items()))
    texts = [
        compile_kernels({name: kernel}, MAIN, tmp_path / build)[name].assembly.read_bytes()
        for build in ("one", "other")
    ]
    assert texts[0] == texts[1] and b".target sm_90a" in gzip.decompress(texts[0])


@models
def test_no_kernel_spills(models):
    for kernel, found in compiled_for(MAIN, kernels_of(models)).items():
        assert found.local_bytes <= SLOW_PATH_BYTES * ("cos" in kernel), kernel


def bytes_spilled(config, dtype, is_meant):
    """Of the kernels of a model for the main target that are meant, by name; none where none is."""
    module, _ = run_stages(verify(trace_config(config, dtype)), GPU_STAGES)
    made = compile_gpu_program(module, MAIN).kernels.items()
    kernels = {f"{dtype}_{name}": kernel for name, (kernel, r) in made if is_meant(name, r.anchor)}
    found = compiled_for(MAIN, kernels)
    return {name: one.local_bytes for name, one in found.items() if one.local_bytes}


@pytest.mark.parametrize("name", ["llama", "qwen3_moe"])
def test_no_product_or_prefill_in_float32_spills(name):
    def is_meant(kernel, anchor):
        return anchor in ("linear", "experts") or anchor == "attention" and "decode" not in kernel

    assert not bytes_spilled(tiny_config(name), DType.F32, is_meant)


@pytest.mark.parametrize(("hidden", "inner"), [(1000, 2730), (1000, 2731)])
def test_no_product_of_rows_that_are_not_aligned_spills(hidden, inner):
    sizes = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}
    config = tiny_config("llama", **sizes, **heads)
    assert not bytes_spilled(config, DType.BF16, lambda _, anchor: anchor == "linear")


def test_every_kernel_waits_for_its_inputs_in_its_own_body():
    for name, kernel in kernels_of().items():
        helpers, own = kernel.body.split("def NAME(")
        assert own.count("_await_inputs()") == 1 and "_await_inputs()" not in helpers, name


def test_weights_and_inputs_that_no_launch_writes_are_all_that_kernels_read_before_they_wait():
    """The table of tokens is an input, too, but one that sampling writes."""
    read = set()
    for name in CONFIGS:
        program = program_of(name)
        for launch in (launch for tape in program.tapes.values() for launch in tape["launches"]):
            own = program.kernels[launch["kernel"]][0].body.partition("def NAME(")[2]
            params, before = own.partition(")")[0].split(", "), own.partition("_await_inputs()")[0]
            names = re.findall(r"(?:tl\.load|_box)\((p_\w+)", before)
            read |= {tuple(launch["buffers"][params.index(name)][:2]) for name in names}
    inputs = {place for place in read if place[0] != "weight"}
    assert inputs == {("input", "positions"), ("input", "sequence_ids")}


@pytest.mark.parametrize(("target", "has_maps"), [(MAIN, True), ("cuda:sm_80", False)])
def test_boxes_are_read_by_tensor_maps_where_there_are_some(target, has_maps):
    name, kernel = next((n, k) for n, k in kernels_of().items() if k.boxes)
    found = compiled_for(target, {name: kernel})[name].maps
    wanted = [(box.buffer, box.width, (box.rows, min(64, box.columns))) for box in kernel.boxes]
    assert [(m.buffer, m.width, m.box) for m in found] == (wanted if has_maps else [])


def test_a_kernel_that_is_asked_for_many_times_at_once_is_compiled_once(tmp_path, monkeypatch):
    [(name, kernel), *_] = program_of("llama").kernels.items()
    jobs, run = [], Workers._run
    monkeypatch.setattr(Workers, "_run", lambda self, job: (jobs.append(job), run(self, job)))
    with Workers(tmp_path) as workers:
        compiler = Compiler(MAIN, tmp_path, workers)
        futures = [compiler.submit({name: kernel[0]}) for _ in range(8)]
        found = [future.result()[name] for future in futures]
    assert len(jobs) == 1 and all(one == found[0] for one in found)


def test_a_tile_that_takes_too_much_shared_memory_gets_fewer_stages(monkeypatch):
    name, kernel = next(
        (n, k) for n, k in kernels_of().items() if "tl.dot" in k.body and k.num_stages > 3
    )
    wide = compiled_for(MAIN, {name: kernel})[name]
    assert wide.num_stages == kernel.num_stages
    narrow = replace(TARGETS[MAIN], shared_bytes=wide.shared_bytes - 1)
    monkeypatch.setattr(compile_module, "TARGETS", {MAIN: narrow})
    found = compiled_for(MAIN, {name: kernel})[name]
    assert 0 < found.num_stages < wide.num_stages and found.shared_bytes < wide.shared_bytes


def test_a_tile_that_fits_in_no_way_is_an_error_that_names_the_limit(monkeypatch):
    name, kernel = next((n, k) for n, k in kernels_of().items() if "tl.dot" in k.body)
    narrow = replace(TARGETS[MAIN], shared_bytes=100)
    monkeypatch.setattr(compile_module, "TARGETS", {MAIN: narrow})
    with pytest.raises(BuildError, match="of shared memory, of which the target has 100"):
        compiled_for(MAIN, {name: kernel})


def test_every_tape_takes_its_steps_and_one_takes_any():
    program = program_of("llama")
    tapes = program.tapes
    assert list(tapes)[0] == "step.decode1" and tapes["step.decode1"]["one_token_each"]
    assert tapes["step.any"]["max_rows"] is None and not tapes["step.any"]["one_token_each"]
    assert set(program.outputs) >= {"logits", "sampled"}
    for tape in tapes.values():
        assert all(len(launch["grid"]) == 3 for launch in tape["launches"])


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_tapes_of_a_token_each_have_no_launch_that_only_takes_rows_and_others_have_one(name):
    program = program_of(name)
    for tape in (tape for name, tape in program.tapes.items() if name.startswith("step.")):
        made = [program.kernels[launch["kernel"]][1] for launch in tape["launches"]]
        taking = [region for region in made if params_taken(parse_function(region.math))]
        assert len(taking) == (0 if tape["one_token_each"] else 1)
