import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from fake_model import CONTEXT, build_fake, make_tokenizer, reference

from tapeout import LLM, SamplingParams
from tapeout.errors import ArtifactError, InputError

PARTS = ("ir", "frontend", "passes", "codegen", "api")
GENERATE = """
import subprocess, sys
def refuse(*_, **__): raise AssertionError("a process was started")
subprocess.Popen = refuse
from tapeout import LLM, SamplingParams
[out] = LLM(sys.argv[1]).generate("the cat", SamplingParams(max_tokens=3), use_tqdm=False)
import json
print(json.dumps(sorted(sys.modules)))
"""


def test_opening_an_artifact_and_generating_loads_no_compiler_and_starts_no_process(fake):
    command = [sys.executable, "-c", GENERATE, str(fake)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    heavy = {"torch", "transformers", "safetensors"} & {name.split(".")[0] for name in modules}
    ours = {name for name in modules if name.split(".")[1:2] and name.split(".")[1] in PARTS}
    assert heavy == set()
    assert {name for name in ours if name.startswith("tapeout.")} == set()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"dtype": "bfloat16"}, "dtype=bfloat16 was asked for, but .* dtype=float32"),
        ({"dtype": "int3"}, "dtype=int3 is not known"),
        ({"quantization": "fp8"}, "quantization=fp8 was asked for, .* quantization=None"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size=2 was asked for, .*_size=1"),
        ({"load_format": "pickle"}, "load_format=pickle is not allowed"),
        ({"load_format": "dummy"}, "load_format=dummy is for checkpoints"),
        ({"enable_prefix_caching": "yes"}, "enable_prefix_caching=yes is not allowed"),
        ({"enforce_eager": "no"}, "enforce_eager=no is not allowed"),
        ({"max_num_waiting": 0}, "max_num_waiting=0 is not allowed"),
        ({"trust_remote_code": True}, "trust_remote_code=True is not supported"),
        ({"tokenizer": "/nowhere"}, "has no tokenizer.json"),
    ],
)
def test_what_the_artifact_is_not_is_refused_naming_both(fake, option, message):
    with pytest.raises(InputError, match=message):
        LLM(fake, **option)


def test_a_context_that_the_cache_cuts_is_told_at_load_and_in_refusals(fake, caplog):
    limits = {"max_num_seqs": 4, "num_threads": 1}
    cut = LLM(fake, kv_cache_bytes=6 * 256, **limits)
    assert caplog.messages == [cut.memory_plan.cut]
    room = "no room for an answer in the 80 tokens that the key-value cache holds; shorten it or"
    with pytest.raises(InputError, match=f"90 tokens, .*{room} raise kv_cache_bytes or gpu_mem"):
        cut.generate({"prompt_token_ids": [5] * 90}, use_tqdm=False)
    with pytest.raises(InputError, match="100000 characters, .*cache holds; .* raise kv_cache_by"):
        cut.generate("a" * 100_000, use_tqdm=False)


def test_a_context_that_was_asked_for_or_is_the_models_is_told_by_that(fake, caplog):
    prompt, limits = {"prompt_token_ids": [5] * CONTEXT}, {"max_num_seqs": 4, "num_threads": 1}
    with pytest.raises(InputError, match="in max_model_len=80; shorten it or raise max_model_len"):
        LLM(fake, max_model_len=80, kv_cache_bytes=6 * 256, **limits).generate(prompt)
    with pytest.raises(InputError, match=f"in the model's {CONTEXT} positions; shorten it$"):
        LLM(fake, **limits).generate(prompt)
    assert caplog.messages == []


@pytest.mark.parametrize("dtype", ["auto", "float32", "float", "torch.float32"])
def test_a_dtype_that_is_the_artifacts_is_accepted(fake, dtype):
    assert LLM(fake, dtype=dtype, enable_prefix_caching=False).artifact_path == fake


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no model"):
        LLM(tmp_path)


def test_a_damaged_artifact_is_refused(fake, tmp_path):
    copy = build_fake(tmp_path / "copy.tapeout")
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match="tokenizer.json"):
        LLM(copy)


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    make_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """Compiles nothing; gives what it was asked for."""
    asked = []

    def compile_model(checkpoint, output, **options):
        asked.append({"checkpoint": checkpoint, "output": output, **options})
        return build_fake(output)

    monkeypatch.setitem(sys.modules, "tapeout.api", SimpleNamespace(compile_model=compile_model))
    monkeypatch.setenv("TAPEOUT_CACHE", str(tmp_path / "cache"))
    return asked


def test_a_checkpoint_is_compiled_once_into_the_cache_and_says_where(checkpoint, compiled, capfd):
    first = LLM(checkpoint)
    assert f"compiling {checkpoint} into {first.artifact_path}" in capfd.readouterr().err
    assert LLM(checkpoint).artifact_path == first.artifact_path
    assert len(compiled) == 1
    assert capfd.readouterr().err == ""


def test_a_checkpoint_without_a_tokenizer_is_refused_before_it_is_compiled(checkpoint, compiled):
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="has no tokenizer.json"):
        LLM(checkpoint)
    assert compiled == []
    LLM(checkpoint, skip_tokenizer_init=True, enforce_eager=True)


def test_a_checkpoint_that_changed_is_compiled_again(checkpoint, compiled):
    LLM(checkpoint)
    (checkpoint / "config.json").write_text('{"changed": true}')
    LLM(checkpoint)
    LLM(checkpoint, load_format="dummy")
    assert len({ask["output"] for ask in compiled}) == 3
    assert compiled[2]["load_format"] == "dummy"


def test_a_file_that_shrinks_after_the_load_changes_nothing(tmp_path):
    copy = build_fake(tmp_path / "copy.tapeout")
    llm = LLM(copy)
    [weights] = (copy / "weights").iterdir()
    weights.write_bytes(b"")
    params = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True)
    [out] = llm.generate({"prompt_token_ids": [4]}, params, use_tqdm=False)
    assert out.outputs[0].token_ids == reference([4], 5)
