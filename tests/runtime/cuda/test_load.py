import json
import subprocess
import sys

import fake_cuda_model
import msgspec
import pytest
from click.testing import CliRunner
from fake_cuda_model import build_fake_cuda, counted, with_all_targets
from fake_model import reference

from tapeout import LLM, SamplingParams
from tapeout.cli import main
from tapeout.errors import CapacityError, InputError
from tapeout.runtime import choose_target
from tapeout.runtime.cuda import device
from tapeout.runtime.cuda.executor import CudaExecutor
from tapeout.runtime.executor import Executor
from tapeout.runtime.limits import Limits
from tapeout.runtime.load import check_load

PROMPTS = [[5, 6, 7], [8], list(range(1, 60)), [9, 10]] * 3
PARAMS = SamplingParams(max_tokens=12, temperature=0, ignore_eos=True)


def said(llm):
    outputs = llm.generate([{"prompt_token_ids": p} for p in PROMPTS], PARAMS, use_tqdm=False)
    return [output.outputs[0].token_ids for output in outputs]


@pytest.mark.parametrize("enforce_eager", [False, True])
def test_a_model_on_a_gpu_says_what_it_says_alone(model, enforce_eager):
    llm = LLM(model, max_num_seqs=5, max_num_batched_tokens=24, enforce_eager=enforce_eager)
    assert isinstance(llm.executor, CudaExecutor)
    assert bool(llm.executor.graph_sizes) is not enforce_eager
    assert said(llm) == [reference(prompt, 12) for prompt in PROMPTS]
    llm._close()


def test_the_pages_take_their_share_of_the_gpu_alone(driver, fake_cuda, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_BYTES", "20000000")
    llm = LLM(fake_cuda[0], max_num_seqs=4, gpu_memory_utilization=0.5)
    assert llm.memory_plan.total_bytes < 10_000_000
    raised = "10000000 bytes .* of this GPU; lower .* or raise gpu_memory_utilization"
    with pytest.raises(CapacityError, match=raised):
        LLM(fake_cuda[0], max_num_seqs=4, gpu_memory_utilization=0.5, kv_cache_bytes=11_000_000)
    llm._close()


def test_what_is_asked_of_a_load_is_checked_with_nothing_taken_of_the_gpu(
    driver, fake_cuda, monkeypatch
):
    ended, close = [], device.Device.close
    monkeypatch.setenv("FAKE_CUDA_BYTES", "20000000")
    monkeypatch.setattr(device.Device, "start", lambda self: pytest.fail("it takes memory"))
    monkeypatch.setattr(device.Device, "close", lambda self: (close(self), ended.append(self)))
    check_load(fake_cuda[0], Limits(max_num_seqs=4))
    with pytest.raises(CapacityError, match="18000000 bytes .* of this GPU"):
        check_load(fake_cuda[0], Limits(max_num_seqs=4, kv_cache_bytes=19_000_000))
    assert len(ended) == 2


@pytest.mark.parametrize(
    ("num_bytes", "num_seqs", "num_tokens"), [(1 << 30, 256, 8192), (20 << 20, 64, 2048)]
)
def test_a_load_has_the_defaults_of_its_gpu_just_as_planned(
    driver, fake_cuda, monkeypatch, num_bytes, num_seqs, num_tokens
):
    monkeypatch.setenv("FAKE_CUDA_BYTES", str(num_bytes))
    llm = LLM(fake_cuda[0])
    assert llm.memory_plan.bounds[:2] == (num_tokens, num_seqs)
    assert llm.executor.graph_sizes[-1] == num_seqs
    assert said(llm) == [reference(prompt, 12) for prompt in PROMPTS]
    llm._close()
    command = ["plan", str(fake_cuda[0]), "--gpu-memory-bytes", str(num_bytes), "--json"]
    [plan] = json.loads(CliRunner().invoke(main, command).stdout)["plans"]
    assert plan["memory"] == msgspec.to_builtins(llm.memory_plan)


def test_without_a_driver_an_artifact_for_gpus_is_refused(fake_cuda, monkeypatch):
    monkeypatch.setattr(device, "LIBCUDA", "libcuda_that_is_not_here.so")
    with pytest.raises(
        InputError, match=r"cuda:sm_90 .*libcuda_that_is_not_here.*build it for cpu"
    ):
        LLM(fake_cuda[0])


def test_a_driver_that_fails_is_told_from_none(driver, fake_cuda, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuInit")
    with pytest.raises(InputError, match="cuInit: CUDA_ERROR_FAKE"):
        LLM(fake_cuda[0])


def test_a_player_of_another_version_is_refused(fake_cuda, tmp_path, monkeypatch):
    monkeypatch.setattr(fake_cuda_model, "PLAYER", fake_cuda_model.HERE / "fake_driver.c")
    path = build_fake_cuda(tmp_path / "old.tapeout", b"")
    with pytest.raises(InputError, match="undefined symbol: tapeout_cuda_.*compile the model anew"):
        LLM(path)


@pytest.mark.parametrize("target_name", ["cuda:sm_80", "cuda:sm_100", "cuda:sm_91"])
def test_machine_code_for_another_gpu_is_refused(driver, tmp_path, target_name):
    path = build_fake_cuda(tmp_path / "other.tapeout", b"", target_name)
    with pytest.raises(
        InputError, match=f"{target_name} .the GPU is sm_90, fake device.*the GPU of this"
    ):
        LLM(path)


@pytest.mark.parametrize(
    ("built_for", "capability", "runs"),
    [(80, 80, 1), (80, 89, 1), (89, 80, 0), (80, 90, 0), (90, 90, 1), (100, 103, 0), (90, 120, 0)],
)
def test_code_runs_on_later_versions_of_its_generation_unless_it_uses_its_own_features(
    built_for, capability, runs
):
    assert choose_target._runs(built_for, capability) == runs


def test_a_gpu_whose_blocks_have_too_little_shared_memory_is_refused(
    driver, fake_cuda, monkeypatch
):
    monkeypatch.setenv("FAKE_CUDA_SHARED_BYTES", "99999")
    with pytest.raises(InputError, match="have 99999 bytes of shared memory, not 100000"):
        LLM(fake_cuda[0])


def test_a_target_without_a_player_is_compiled_and_refused_at_load(fake_cuda, tmp_path):
    path = build_fake_cuda(tmp_path / "amd.tapeout", b"", "hip:gfx942", player=None)
    with pytest.raises(InputError, match=r"hip:gfx942 \(there is no player for it yet\)"):
        LLM(path)
    assert choose_target.describe_devices("hip:gfx942", []).startswith("nothing yet")
    assert choose_target.describe_devices("cuda:sm_90", []) == "NVIDIA GPUs of version sm_90"
    assert choose_target.describe_devices("cuda:sm_80", []).endswith("sm_8x, from 80 on")


def test_with_both_targets_a_gpu_is_taken_where_there_is_one(
    driver, fake, fake_cuda, tmp_path, monkeypatch
):
    both = with_all_targets(tmp_path / "both.tapeout", fake, fake_cuda[0])
    llm = LLM(both, max_num_seqs=2)
    assert isinstance(llm.executor, CudaExecutor) and counted(driver, "live") > 0
    llm._close()
    monkeypatch.setattr(device, "LIBCUDA", "libcuda_that_is_not_here.so")
    llm = LLM(both, max_num_seqs=2)
    assert isinstance(llm.executor, Executor)
    assert said(llm) == [reference(prompt, 12) for prompt in PROMPTS]
    llm._close()


_WALLED = """
import sys
KEPT_OUT = {"subprocess.Popen", "os.system", "os.fork", "os.posix_spawn", "socket.connect"}
def watch(event, arguments):
    assert event not in KEPT_OUT, event
    assert event != "open" or set(arguments[1] or "r").isdisjoint("wax+"), arguments
sys.dont_write_bytecode = True
sys.addaudithook(watch)
sys.modules |= dict.fromkeys(("torch", "triton", "transformers", "safetensors", "cupy", "cuda"))
from tapeout.runtime.cuda import device
device.LIBCUDA = sys.argv[2]
from tapeout import LLM, SamplingParams
from tapeout.cli import main
params = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
[out] = LLM(sys.argv[1], max_num_seqs=2).generate([5, 6, 7], params, use_tqdm=False)
print(out.outputs[0].token_ids)
"""


def test_nothing_but_the_driver_is_needed_and_nothing_is_compiled_fetched_or_written(fake_cuda):
    command = [sys.executable, "-c", _WALLED, fake_cuda[0], fake_cuda[1]._name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": ""})
    assert done.stdout.strip() == str(reference([5, 6, 7], 12))
