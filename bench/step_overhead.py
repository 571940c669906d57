"""What the engine costs beside the kernels, in a steady decode step: processor time of its threads.

    python bench/step_overhead.py ARTIFACT

The engine's thread plans the next step and makes outputs while kernels run, so its time counts only
where a step is shorter. The executor's thread copies a step in and its results out: that time lies
between two steps.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
from report import report

from tapeout import LLM, SamplingParams

NUM_STEPS, WARMUP_STEPS = 300, 10
PROMPT_TOKENS = 16


class Watch:
    """Notes the processor time of each call, without that of the calls of an inner watch."""

    def __init__(self, function: Callable[..., Any], inner: "Watch | None" = None) -> None:
        self.times_us: list[float] = []
        self.total_us = 0.0
        self._function, self._inner = function, inner

    def __call__(self, *arguments: Any) -> Any:
        start, before_us = time.thread_time(), self._inner_us
        result = self._function(*arguments)
        took_us = (time.thread_time() - start) * 1e6
        self.total_us += took_us
        self.times_us.append(took_us - self._inner_us + before_us)
        return result

    @property
    def _inner_us(self) -> float:
        return self._inner.total_us if self._inner else 0.0


def measure(artifact: Path, batch: int) -> dict[str, object]:
    """One row: microseconds of the two threads for a step of `batch` sequences."""
    llm = LLM(artifact, max_num_seqs=batch, num_threads=1, skip_tokenizer_init=True)
    num_tokens = NUM_STEPS + 2 * WARMUP_STEPS
    params = SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True)
    prompts = [{"prompt_token_ids": [3 + i] * PROMPT_TOKENS} for i in range(batch)]
    executor = llm.executor
    kernels = executor._player.run = Watch(executor._player.run)  # type: ignore[method-assign]
    copies = executor._thread._run = Watch(executor._thread._run, kernels)
    engine = llm.engine.step = Watch(llm.engine.step)  # type: ignore[method-assign]
    llm.generate(prompts, params, use_tqdm=False)
    row: dict[str, object] = {"batch": batch}
    for name, watch in (("engine", engine), ("executor", copies)):
        times = watch.times_us[WARMUP_STEPS : WARMUP_STEPS + NUM_STEPS]
        row |= {f"{name} median us": median(times), f"{name} p90 us": quantiles(times, n=10)[8]}
    return row


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
def main(artifact: Path) -> None:
    """Measures batches of several sizes."""
    rows = [measure(artifact, batch) for batch in (1, 8, 64, 256)]
    report("step_overhead", rows, artifact=artifact.name, steps=NUM_STEPS)


if __name__ == "__main__":
    main()
