import json
import shutil
import subprocess
import sys

import pytest
from cpu import native_levels
from models import save_tiny

from tapeout import LLM, compile_model
from tapeout.artifact import Artifact
from tapeout.errors import CheckpointError, InputError

GENERATE = """
import sys
from tapeout import LLM, SamplingParams
llm = LLM(sys.argv[1], skip_tokenizer_init=True)
llm.generate({"prompt_token_ids": [5, 6, 7]}, SamplingParams(max_tokens=2), use_tqdm=False)
print(*sorted({name.split(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("tapeout.")))
"""


def contents(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_two_builds_of_one_checkpoint_are_byte_identical(
    artifact_of, checkpoint_of, tmp_path, monkeypatch
):
    """One of them with what other tests have compiled, the other all anew."""
    built = [contents(artifact_of("llama"))]
    monkeypatch.setenv("TAPEOUT_CACHE", str(tmp_path / "cache"))
    output = tmp_path / "model.tapeout"
    compile_model(checkpoint_of("llama"), output, cpu_levels=native_levels()[:1])
    built.append(contents(output))
    assert built[0].keys() == built[1].keys()
    assert [path for path in built[0] if built[0][path] != built[1][path]] == []


def test_a_process_that_generates_never_loads_the_compiler(artifact_of):
    command = [sys.executable, "-c", GENERATE, str(artifact_of("llama"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    top, ours = (line.split() for line in done.stdout.splitlines())
    assert not {"torch", "transformers", "safetensors"} & set(top)
    stages = {name.split(".")[1] for name in ours}
    assert not {"ir", "frontend", "passes", "codegen"} & stages


def test_each_distinct_layer_is_compiled_once(artifact_of):
    manifest = json.loads((artifact_of("gemma2") / "manifest.json").read_text())
    kernels = [kernel["name"] for kernel in manifest["targets"]["cpu"]["kernels"]]
    tape = json.loads((artifact_of("gemma2") / "tapes" / "cpu" / "step.json").read_text())
    launched = [launch["kernel"] for launch in tape["launches"]]
    assert len(kernels) == len(set(kernels))
    assert len(launched) > len(set(launched))


@pytest.mark.slow
def test_a_target_that_nothing_plays_is_compiled_and_says_so(checkpoint_of, tmp_path):
    pytest.importorskip("triton")
    path = compile_model(checkpoint_of("llama"), tmp_path / "amd.tapeout", target="hip:gfx942")
    target = Artifact.open(path).manifest.targets["hip:gfx942"]
    assert target.player is None
    assert all(kernel.cubin.file.endswith(".hsaco") for kernel in target.kernels)
    with pytest.raises(InputError, match=r"hip:gfx942 \(there is no player for it yet\)"):
        LLM(path, skip_tokenizer_init=True)


def test_a_model_with_no_position_for_an_answer_is_refused_before_it_is_built(tmp_path):
    folder = save_tiny("llama", tmp_path / "checkpoint", max_position_embeddings=1)
    with pytest.raises(CheckpointError, match="config.json: max_position_embeddings: found 1, "):
        compile_model(folder, tmp_path / "new.tapeout")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_tokenizer_that_cannot_be_read_is_refused_before_a_model_is_built(
    checkpoint_of, tmp_path
):
    folder = shutil.copytree(checkpoint_of("llama"), tmp_path / "checkpoint")
    (folder / "tokenizer.json").write_text('{"version": "1.0", "mod')
    with pytest.raises(CheckpointError, match="tokenizer.json: content: .* wanted a tokenizer"):
        compile_model(folder, tmp_path / "new.tapeout")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "gpu"}, "target='gpu' is not supported; use cpu, cuda:sm_80, "),
        ({"quantization": "int4"}, "quantization='int4' is not supported yet; leave it out"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size=2 is not supported yet; use 1"),
        ({"tuning": "none"}, "tuning='none' is no file"),
        ({"load_format": "pickle"}, "load_format='pickle' is not known; use auto or dummy"),
        ({"dtype": "float16"}, r"dtype='float16' .* cannot be compiled; use auto, float32 or b"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name_and_nothing_is_written(
    checkpoint_of, tmp_path, options, message
):
    with pytest.raises(InputError, match=message):
        compile_model(checkpoint_of("llama"), tmp_path / "new.tapeout", **options)
    assert list(tmp_path.iterdir()) == []
