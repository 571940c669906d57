"""Kernels and player run clean under NVIDIA's checkers of memory and of races."""

import shutil
import subprocess
import sys

import pytest
from racecheck import races

from tapeout.artifact import Artifact

pytestmark = pytest.mark.gpu

FOUND = 9  # the exit code for what is wrong
_GENERATE = """
import sys
from tapeout import LLM, SamplingParams
llm = LLM(sys.argv[1], skip_tokenizer_init=True, max_num_seqs=4, max_model_len=256,
          max_num_batched_tokens=128)
prompts = [{"prompt_token_ids": [5 + i for i in range(length)]} for length in (1, 7, 100)]
params = [SamplingParams(temperature=0, max_tokens=4, ignore_eos=True, logprobs=2),
          SamplingParams(top_p=0.9, seed=1, max_tokens=4, ignore_eos=True),
          SamplingParams(top_k=5, presence_penalty=0.5, seed=1, max_tokens=4, ignore_eos=True)]
llm.generate(prompts, params, use_tqdm=False)
llm._close()
"""


@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_a_generate_is_clean(name, tool, gpu_artifact_of):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not on the PATH")
    artifact = gpu_artifact_of(name)
    command = [sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "10000"]
    command += [sys.executable, "-c", _GENERATE, artifact]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    said = done.stdout + done.stderr
    if tool == "racecheck" and done.returncode == FOUND:
        assert not races(said, Artifact.open(artifact))
    else:
        assert done.returncode == 0, said[-4000:]
