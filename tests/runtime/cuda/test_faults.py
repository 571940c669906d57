"""What a driver can say at any call: every fault has one clear error, and takes nothing with it."""

import os
import threading

import fake_cuda_model
import pytest
from fake_cuda_model import build_fake_cuda, counted, with_all_targets
from fake_model import reference

from tapeout import LLM, SamplingParams
from tapeout.errors import CapacityError, EngineDeadError, FileFormatError, InputError, TapeoutError
from tapeout.runtime.cuda import device
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.errors import CudaError

PROMPTS = [[5, 6, 7], list(range(1, 60)), [8]]
PARAMS = SamplingParams(max_tokens=6, temperature=0, ignore_eos=True, logprobs=2)
CALLS = {
    "cuInit": 1,
    "cuDeviceGetAttribute": 4,
    "cuDevicePrimaryCtxRetain": 1,
    "cuStreamCreate": 2,
    "cuMemGetInfo_v2": 6,
    "cuMemAlloc_v2": 4,
    "cuMemHostAlloc": 5,
    "cuMemsetD8Async": 4,
    "cuMemcpyDtoHAsync_v2": 40,
    "cuEventCreate": 7,
    "cuMemcpyHtoDAsync_v2": 20,
    "cuModuleLoadData": 4,
    "cuModuleGetFunction": 4,
    "cuFuncSetAttribute": 4,
    "cuStreamBeginCapture_v2": 4,
    "cuLaunchKernelEx": 30,
    "cuStreamEndCapture": 4,
    "cuGraphInstantiateWithFlags": 4,
    "cuGraphUpload": 4,
    "cuGraphLaunch": 11,
    "cuStreamWaitEvent": 14,
    "cuEventRecord": 40,
    "cuEventSynchronize": 15,
    "cuEventElapsedTime": 14,
    "cuStreamSynchronize": 2,
}
"""How often each is made, at least, by what `said` does."""


def load(folder, **options):
    return LLM(folder, max_num_seqs=2, max_num_batched_tokens=24, **options)


def said(llm):
    outputs = llm.generate([{"prompt_token_ids": p} for p in PROMPTS], PARAMS, use_tqdm=False)
    return [output.outputs[0].token_ids for output in outputs]


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_whatever_call_fails_is_named_and_the_device_is_given_back_at_once(
    driver, fake_cuda, monkeypatch, call, stays
):
    """Though the error is kept, and with it all that it went through."""
    if stays:
        monkeypatch.setenv("FAKE_CUDA_LOST", "1")
    kept, num_threads = [], threading.active_count()
    for count in range(1, CALLS[call] + 1):
        monkeypatch.setenv("FAKE_CUDA_FAIL", f"{call}:{count}")
        with pytest.raises(TapeoutError, match=f"{call}: CUDA_ERROR_") as caught:
            said(load(fake_cuda[0]))
        kept.append(caught)
        assert counted(driver, "live") == 0 and threading.active_count() == num_threads
    monkeypatch.delenv("FAKE_CUDA_FAIL")
    llm = load(fake_cuda[0])
    assert said(llm) == [reference(prompt, 6) for prompt in PROMPTS]
    llm._close()


def test_after_a_failed_step_every_call_says_what_the_driver_said(driver, fake_cuda, monkeypatch):
    llm = load(fake_cuda[0])
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuEventSynchronize:3")
    for _ in range(2):
        with pytest.raises(
            EngineDeadError,
            match="generated any more: cuEventSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS .*; this "
            "process cannot use the GPU any more: start a new one; load the model anew",
        ):
            said(llm)
    assert counted(driver, "live") == 0


def test_what_fails_behind_the_load_of_the_device_gives_it_back(driver, fake_cuda, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"a": 1}')
    with pytest.raises(FileFormatError) as kept:
        load(fake_cuda[0], tokenizer=tmp_path)
    assert kept and counted(driver, "live") == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cuModuleLoadData:2=2", "kernel hash_pages, by a driver of CUDA 13.0: cuModuleLoadData: "),
        ("cuGraphInstantiateWithFlags:3=2", "graphs of 2 sequences, .*enforce_eager=True .*: cuG"),
        ("cuDevicePrimaryCtxRetain=2", "cuDevicePrimaryCtxRetain: "),
        ("cuMemHostAlloc", "staging of the inputs: 2176 bytes of the host cannot be pinned: cuMem"),
    ],
)
def test_memory_that_runs_out_anywhere_is_a_capacity_error_with_what_helps(
    driver, fake_cuda, monkeypatch, fault, words
):
    monkeypatch.setenv("FAKE_CUDA_FAIL", fault)
    with pytest.raises(CapacityError, match=f"{words}.*OUT_OF_MEMORY.*lower gpu_memory_utiliz"):
        load(fake_cuda[0])


def test_memory_that_others_have_is_told_from_what_is_planned(driver, fake_cuda, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_BYTES", "2000000")
    monkeypatch.setenv("FAKE_CUDA_OTHERS_BYTES", "1990000")
    with pytest.raises(
        CapacityError,
        match="the arena: 34944 bytes cannot be allocated, where 9736 of the GPU's 2000000 are "
        "free.*or end what else uses this GPU",
    ):
        load(fake_cuda[0])


@pytest.mark.parametrize("visible", ["", "7", "-1", "GPU-of-another-machine"])
def test_a_gpu_that_is_hidden_is_told_from_none(driver, fake_cuda, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(
        InputError,
        match=f"NO_DEVICE.*CUDA_VISIBLE_DEVICES='{visible}' names none .*where there is such a GPU",
    ):
        load(fake_cuda[0])


@pytest.mark.parametrize("visible", ["0", "0,1", "GPU-f"])
def test_a_gpu_that_is_named_is_taken(driver, fake_cuda, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    load(fake_cuda[0])._close()


def test_a_driver_that_lacks_a_function_is_too_old(fake_cuda, tmp_path, monkeypatch):
    source = fake_cuda_model.HERE / "fake_driver.c"
    old = tmp_path / "old_driver.c"
    old.write_text(source.read_text().replace("cuTensorMapEncodeTiled(", "cuAnother("))
    monkeypatch.setattr(device, "LIBCUDA", str(fake_cuda_model._library(tmp_path, old, "gcc")))
    with pytest.raises(InputError, match="has no cuTensorMapEncodeTiled: update the GPU.s driver"):
        load(fake_cuda[0])


def test_a_player_that_cannot_be_loaded_is_refused_by_its_name(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(fake_cuda_model, "_library", lambda *_: fake_cuda_model.PLAYER)
    path = build_fake_cuda(tmp_path / "odd.tapeout", b"")
    with pytest.raises(InputError, match="player_cuda.so: .*; compile the model anew, or put it"):
        load(path)


def test_of_several_targets_that_run_here_the_last_is_taken(
    driver, fake_cuda, tmp_path, monkeypatch
):
    [cubin] = fake_cuda[0].rglob("all.cubin")
    code, versions = cubin.read_bytes(), (80, 89, 90, 100)
    folders = [build_fake_cuda(tmp_path / f"{v}", code, f"cuda:sm_{v}") for v in versions]
    everywhere = with_all_targets(tmp_path / "all.tapeout", *folders)
    for capability, version in ((90, 90), (86, 80), (89, 89), (100, 100)):
        monkeypatch.setenv("FAKE_CUDA_CAPABILITY", str(capability))
        llm = load(everywhere)
        assert llm.target_name == f"cuda:sm_{version}"
        assert said(llm) == [reference(prompt, 6) for prompt in PROMPTS]
        llm._close()


def test_a_gpu_that_is_here_is_not_passed_over_in_silence(
    driver, fake, fake_cuda, tmp_path, monkeypatch, caplog
):
    both = with_all_targets(tmp_path / "both.tapeout", fake, fake_cuda[0])
    for name, value, level in (
        ("CUDA_VISIBLE_DEVICES", "", "INFO"),
        ("FAKE_CUDA_CAPABILITY", "80", "WARNING"),
        ("FAKE_CUDA_FAIL", "cuInit", "WARNING"),
    ):
        caplog.clear()
        with monkeypatch.context() as patch, caplog.at_level("INFO"):
            patch.setenv(name, value)
            load(both)._close()
        [record] = [r for r in caplog.records if "runs on the CPU" in r.message]
        assert record.levelname == level and "cuda:sm_90 (" in record.message


def test_a_device_that_cannot_be_described_is_given_back(driver, fake_cuda, monkeypatch):
    closed = []
    monkeypatch.setattr(Device, "close", lambda self: closed.append(self))
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuDeviceGetAttribute")
    with pytest.raises(CudaError, match="cuDeviceGetAttribute"):
        Device(fake_cuda[0] / "player" / "player_cuda.so")
    assert len(closed) == 1


def test_a_device_that_nobody_holds_is_given_back(driver, fake_cuda):
    held = Device(fake_cuda[0] / "player" / "player_cuda.so")
    held.start()
    held.allocate(100, "a test")
    held.allocate_pinned(100, "a test")
    held.event()
    assert counted(driver, "live") == 6
    del held
    assert counted(driver, "live") == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_fork_a_gpu_is_refused_and_left_to_the_process_that_has_it(driver, fake_cuda):
    llm = load(fake_cuda[0])
    for use in (said, lambda _: load(fake_cuda[0])):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(TapeoutError) as caught:
                    use(llm)
                llm._close()
                assert counted(driver, "live") > 0
                os.write(writes, str(caught.value).encode())
            finally:
                os._exit(0)
        os.close(writes)
        os.waitpid(child, 0)
        with open(reads) as told:
            assert "cannot be used in a fork of its process, nor loaded there" in told.read()
    assert said(llm) == [reference(prompt, 6) for prompt in PROMPTS]
    llm._close()
