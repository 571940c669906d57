"""What the host adds to the first token of prompts on a GPU.

    python bench/prefill_overhead.py ARTIFACT

The device's time is that between the events around its steps. The rest of the time to the first
token is spent before the first launch, launching where the device is the faster one, and between
the end of the last kernel and the output. Prompts are random, and each of them new.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from report import report

from tapeout import LLM, SamplingParams
from tapeout.runtime.cuda.device import Device

PROMPTS = ((1, 128), (1, 1024), (1, 8192), (8, 2048))
REPEATS, WARMUP = 20, 3
LIMITS = {"max_model_len": 9216, "max_num_seqs": 256, "max_num_batched_tokens": 8192}
PARAMS = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)


class Watch:
    """When the launches since `reset` began, and when a wait for the device last ended."""

    def __init__(self, device: Device) -> None:
        self.first_s, self.launching_s, self.end_s = 0.0, 0.0, 0.0
        self._run_tape, self._call = device.run_tape, device.call
        device.run_tape, device.call = self.run_tape, self.call  # type: ignore[method-assign]

    def reset(self) -> None:
        """Begins anew."""
        self.first_s, self.launching_s = 0.0, 0.0

    def run_tape(self, *arguments: Any) -> None:
        """In place of the device's own."""
        start_s = time.perf_counter()
        self.first_s = self.first_s or start_s
        self._run_tape(*arguments)
        self.launching_s += time.perf_counter() - start_s

    def call(self, function: str, *arguments: Any) -> int:
        """In place of the device's own."""
        result = self._call(function, *arguments)
        if function == "event_wait":
            self.end_s = time.perf_counter()
        return result


def measure(llm: LLM, watch: Watch, batch: int, context: int) -> dict[str, object]:
    """One row: medians over rounds of prompts that come at once."""
    random, rounds = np.random.default_rng(context), []
    for _ in range(WARMUP + REPEATS):
        token_ids = random.integers(0, llm.executor.vocab_size, (batch, context)).tolist()
        prompts = [{"prompt_token_ids": own} for own in token_ids]
        watch.reset()
        device_s, start_s = llm.executor.player_s, time.perf_counter()
        outputs = llm.generate(prompts, PARAMS, use_tqdm=False)
        end_s, device_s = time.perf_counter(), llm.executor.player_s - device_s
        assert all(len(output.outputs[0].token_ids) == 1 for output in outputs)
        took_s = end_s - start_s
        times_s = (watch.first_s - start_s, watch.launching_s, end_s - watch.end_s)
        rounds.append((*times_s, device_s, took_s, took_s - device_s))
    first, launching, last, device, all_, added = map(median, zip(*rounds[WARMUP:], strict=True))
    return {
        "prompts": f"{batch} x {context}",
        "to the first launch us": first * 1e6,
        "launching us": launching * 1e6,
        "from the last kernel us": last * 1e6,
        "device ms": device * 1e3,
        "all ms": all_ * 1e3,
        "beside the device us": added * 1e6,
    }


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
@click.option("--prefix-caching", is_flag=True, help="Hash pages of prompts, as by default.")
def main(artifact: Path, prefix_caching: bool) -> None:
    """Measures prompts of several sizes."""
    options = {"skip_tokenizer_init": True, "enable_prefix_caching": prefix_caching}
    llm = LLM(artifact, **LIMITS, **options)
    watch = Watch(llm.executor.device)
    rows = [measure(llm, watch, *prompts) for prompts in PROMPTS]
    report("prefill_overhead", rows, artifact=artifact.name, gpu=llm.executor.device.facts.name)


if __name__ == "__main__":
    main()
