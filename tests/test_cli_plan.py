import json
import re
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fake_cuda_model import build_fake_cuda
from fake_model import build_fake

from tapeout.artifact import Artifact
from tapeout.cli import main
from tapeout.errors import InputError
from tapeout.runtime.plan_devices import choose_devices, targets_of

READ = ["--cpu-bytes-per-s", 1e10]


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    return str(build_fake(tmp_path_factory.mktemp("fake") / "fake.tapeout"))


@pytest.fixture(scope="module")
def fake_cuda(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake_cuda")
    return str(build_fake_cuda(folder / "fake.tapeout", b"", batch_invariant=False))


@pytest.fixture
def checkpoint(tmp_path, monkeypatch, fake, fake_cuda):
    """A checkpoint, and in the compiler's place what gives the fakes for it."""
    (tmp_path / "config.json").write_text("{}")
    artifacts = {"cpu": Artifact.open(fake), "cuda:sm_90": Artifact.open(fake_cuda)}

    def plan_checkpoint(checkpoint, targets, **options):
        if options["quantization"] or options["tensor_parallel_size"] != 1:
            raise InputError(f"{options} is not supported yet")
        return artifacts["cpu"].manifest.model, {n: artifacts[n].described(n) for n in targets}

    names = SimpleNamespace(plan_checkpoint=plan_checkpoint)
    monkeypatch.setitem(sys.modules, "tapeout.api", names)
    return str(tmp_path)


def invoke(*arguments, exit_code=0):
    result = CliRunner().invoke(main, ["plan", *(str(a) for a in arguments)])
    assert result.exit_code == exit_code, result.output
    return result


def plans(*arguments):
    return json.loads(invoke(*arguments, "--json").stdout)["plans"]


@pytest.mark.parametrize("kind", ["artifact", "checkpoint"])
def test_plan_says_what_is_then_allocated(kind, fake, checkpoint):
    from tapeout import LLM

    model = fake if kind == "artifact" else checkpoint
    limits = ["--max-num-seqs", 3, "--max-model-len", 100, "--kv-cache-bytes", 9000, *READ]
    [plan] = plans(model, *limits)
    llm = LLM(fake, max_num_seqs=3, max_model_len=100, kv_cache_bytes=9000)
    assert plan["total_bytes"] == llm.memory_plan.total_bytes
    assert plan["memory"]["num_kv_tokens"] == 34 * 16
    assert plan["num_pages"] == {"full": 35} and plan["num_longest_seqs"] == 34 // 7
    assert "pages of full" in invoke(model, *limits).stdout


def test_plan_and_inspect_give_the_same_bytes_of_weights(fake):
    [plan] = plans(fake, *READ)
    found = CliRunner().invoke(main, ["inspect", fake, "--json"])
    inspected = json.loads(found.stdout)["targets"]["cpu"]["weights_bytes"]
    assert plan["memory"]["weights_bytes"] == inspected == 64  # for a tensor of 8


@pytest.mark.parametrize(("device", "rate"), [("h200", "989"), ("b200", "2,250")])
def test_what_a_device_can_do_is_told_without_an_exponent(device, rate):
    [(_, found)] = choose_devices(targets_of([device]), [device], None, None)
    assert f" {rate} TFLOP/s by its data sheet" in found.assumed


def test_targets_and_devices_stand_side_by_side(checkpoint):
    targets = ["--target", "cpu", "--target", "cuda:sm_90"]
    devices = ["--device", "h100", "--device", "h200", *READ]
    found = plans(checkpoint, *targets, *devices)
    assert [(plan["target"], plan["device"]) for plan in found] == [
        ("cpu", "this machine"),
        ("cuda:sm_90", "h100"),
        ("cuda:sm_90", "h200"),
    ]
    assert all(plan["decode"] and plan["prompts"] for plan in found)
    heads = invoke(checkpoint, *targets, *devices).stdout.splitlines()[2:4]
    assert heads[0].split() == ["cpu", "cuda:sm_90", "cuda:sm_90"]
    assert heads[1].split() == ["this", "machine", "h100", "h200"]


def test_a_device_alone_says_what_target_it_is_for(checkpoint, fake_cuda):
    for model in (checkpoint, fake_cuda):
        [plan] = plans(model, "--device", "h200")
        assert (plan["target"], plan["device"]) == ("cuda:sm_90", "h200")


def test_a_gpu_whose_memory_is_not_told_is_asked_for_by_name(fake_cuda):
    for arguments in ([], ["--target", "cuda:sm_90"]):
        error = invoke(fake_cuda, *arguments, exit_code=2).stderr
        assert "'cuda:sm_90' runs on a GPU whose memory is not told" in error
        assert "(h100-pcie, h100, h200), or give gpu_memory_bytes" in error


def test_memory_that_is_told_is_enough_for_a_plan_without_times(fake_cuda):
    [plan] = plans(fake_cuda, "--gpu-memory-bytes", 1 << 30)
    assert plan["total_bytes"] < 1 << 30 and plan["decode"] == plan["prompts"] == []
    assert "no time is predicted" in plan["assumed"]
    assert "no time is predicted" in invoke(fake_cuda, "--gpu-memory-bytes", 1 << 30).stdout


def test_what_does_not_fit_is_told_beside_what_does(fake_cuda):
    least = ["--device", "h100", "--gpu-memory-bytes", 1000]
    error = invoke(fake_cuda, *least, exit_code=2).stderr
    assert "cuda:sm_90 on h100: weights, arena and inputs take" in error
    assert "gpu_memory_utilization=0.9 of this GPU" in error and "lower" in error
    result = json.loads(invoke(fake_cuda, *least, "--json", exit_code=2).stdout)
    assert result["plans"] == [] and "take" in result["errors"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "cuda:sm_80"], "target='cuda:sm_80' is not in .*; it has cpu"),
        (["--device", "h100"], "target='cuda:sm_90' is not in .*; it has cpu"),
        (["--device", "h300"], "device='h300' is not known; name one of a100, .*h200"),
        (
            ["--target", "cpu", "--device", "h100"],
            "runs target cuda:sm_90, not cpu; name cuda:sm_90",
        ),
        (["--gpu-memory-bytes", "1000"], "gpu_memory_bytes=1000 is for a target on a GPU, not"),
        (["--gpu-memory-bytes", "-1"], "gpu_memory_bytes=-1 is not allowed"),
        (["--cpu-bytes-per-s", "-1"], "cpu_bytes_per_s=-1.0 is not allowed"),
        (["--context", "-1"], "context=-1 is not allowed"),
        (["--quantize", "fp8"], "quantization=fp8 was asked for"),
        (["--tensor-parallel-size", "2"], "tensor_parallel_size=2 was asked for"),
        (["--max-num-seqs", "0"], "max_num_seqs=0 is not allowed"),
        (["--kv-cache-bytes", "1e9"], "kv_cache_bytes='1e9' is not allowed; give a whole number"),
        (["--gpu-memory-utilization", "x"], "gpu_memory_utilization='x' is not allowed; give a"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(fake, arguments, message):
    error = invoke(fake, *arguments, exit_code=2).stderr
    assert error.count("\n") == 1
    assert re.search(message, error), error


@pytest.mark.parametrize("option", [["--quantize", "fp8"], ["--tensor-parallel-size", 2]])
def test_a_checkpoint_is_planned_with_what_compiling_would_refuse(checkpoint, option):
    assert "is not supported yet" in invoke(checkpoint, *option, exit_code=2).stderr


@pytest.mark.parametrize("name", ["--gpu-memory-bytes", "--cpu-bytes-per-s", "--context"])
def test_a_number_that_cannot_be_is_refused_before_the_model_is_looked_at(tmp_path, name):
    error = invoke(tmp_path / "none", "--target", "cpu", name, -1, exit_code=2).stderr
    assert error.startswith(f"Error: {name[2:].replace('-', '_')}=-1")


def test_an_artifact_that_is_not_batch_invariant_says_so(fake, fake_cuda):
    [plan] = plans(fake, "--batch-invariant", *READ)
    assert plan["batch_invariant"]
    error = invoke(fake_cuda, "--device", "h100", "--batch-invariant", exit_code=2).stderr
    assert "is not batch-invariant; compile it anew" in error


def test_a_context_that_the_cache_cuts_is_told_as_a_load_tells_it(fake):
    limits = ["--kv-cache-bytes", 1536, *READ]
    [plan] = plans(fake, *limits)
    assert plan["memory"]["cut"].startswith("max_model_len is 80, for a key-value cache of 1536 b")
    told = f"cpu on this machine: {plan['memory']['cut']}"
    assert told in invoke(fake, *limits).stdout.splitlines()
    assert "for a key-value cache" not in invoke(fake, *limits, "--max-model-len", 80).stdout


def test_decode_steps_are_those_that_have_pages(fake):
    [plan] = plans(
        fake, *READ, "--kv-cache-bytes", 5000, "--max-num-seqs", 8, "--context", 5, "--context", 90
    )
    pages = plan["num_pages"]["full"] - 1
    steps = [(step["num_seqs"], step["context"]) for step in plan["decode"]]
    assert steps == [(1, 5), (1, 90), (2, 5), (2, 90), (4, 5), (8, 5)]
    assert 2 * 6 <= pages < 4 * 6


def test_a_context_that_no_sequence_has_is_told(fake):
    contexts = [*READ, "--max-model-len", 80, "--context", 5, "--context", 80]
    told = "cpu on this machine: no decode step after 80 tokens: a sequence has at most 80 tokens"
    assert told in invoke(fake, *contexts).stdout.splitlines()
    [plan] = plans(fake, *contexts)
    assert plan["too_long"] == [80] and {step["context"] for step in plan["decode"]} == {5}


def test_decode_steps_double_up_to_all_sequences(fake_cuda):
    limits = ["--max-num-seqs", 100, "--context", 5]
    [plan] = plans(fake_cuda, "--device", "h200", *limits)
    assert [step["num_seqs"] for step in plan["decode"]] == [1, 2, 4, 8, 16, 32, 64, 100]


def test_a_plan_begins_with_the_model_and_its_type(fake_cuda):
    facts = Artifact.open(fake_cuda).manifest.model
    said = invoke(fake_cuda, "--device", "h100").output
    assert said.splitlines()[0] == f"{facts.architecture} in {facts.dtype}"
