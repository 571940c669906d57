"""tapeout-nano answers as many exercises of its tasks right on a GPU as on the CPU."""

import random
import sys
from pathlib import Path

import pytest

from tapeout import LLM, SamplingParams, compile_model

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from examples.nano import tasks  # noqa: E402

pytestmark = pytest.mark.gpu

COUNT = 50  # exercises of a task
MAX_DIFFERENT = 1  # of these, where a rounding tips a close choice


@pytest.fixture(scope="module")
def gpu_nano(tmp_path_factory):
    output = tmp_path_factory.mktemp("nano") / "nano-gpu.tapeout"
    return compile_model(ROOT / "examples/nano/checkpoint", output, target="cuda:sm_90")


def num_right(llm, task):
    rng = random.Random(f"gpu/{task}")
    exercises = [tasks.make(task, rng) for _ in range(COUNT)]
    prompts = [llm.render_chat(e.messages, tools=e.tools) for e in exercises]
    params = SamplingParams(temperature=0, max_tokens=128)
    outputs = llm.generate(prompts, params, use_tqdm=False)
    pairs = zip(exercises, outputs, strict=True)
    return sum(tasks.check(task, o.outputs[0].text, e.answer) for e, o in pairs)


def test_the_tasks_are_as_right_on_a_gpu_as_on_the_cpu(nano, gpu_nano):
    found = []
    for artifact in (nano, gpu_nano):
        llm = LLM(artifact, max_num_seqs=64)
        found.append({task: num_right(llm, task) for task in tasks.TASKS})
        llm._close()
    on_cpu, on_gpu = found
    worse = {t: (n, on_gpu[t]) for t, n in on_cpu.items() if abs(on_gpu[t] - n) > MAX_DIFFERENT}
    assert worse == {} and sum(on_cpu.values()) >= 0.8 * COUNT * len(on_cpu)
