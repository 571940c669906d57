"""What the engine costs beside the kernels: Python's share of a steady decode step.

python bench/step_overhead.py ARTIFACT
"""

import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
from report import report

from tapeout import LLM, SamplingParams
from tapeout.runtime.player import Player

NUM_STEPS = 300
PROMPT_TOKENS = 16


class Watch:
    """Counts the seconds that the calling thread computes within the player."""

    def __init__(self) -> None:
        self.player_s = 0.0
        self._run = Player.run

    def __enter__(self) -> "Watch":
        def run(player: Player, *arguments: Any) -> None:
            start = time.thread_time()
            self._run(player, *arguments)
            self.player_s += time.thread_time() - start

        Player.run = run  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Player.run = self._run  # type: ignore[method-assign]


def overheads_us(artifact: Path, batch: int) -> list[float]:
    """Microseconds of each decode step that are not the player's, in the thread's own time."""
    llm = LLM(artifact, max_num_seqs=batch, num_threads=1, skip_tokenizer_init=True)
    params = SamplingParams(temperature=0, max_tokens=NUM_STEPS + 20, ignore_eos=True)
    prompts = [{"prompt_token_ids": [3 + i] * PROMPT_TOKENS} for i in range(batch)]
    times: list[float] = []
    step = llm.engine.step
    with Watch() as watch:

        def timed_step() -> Any:
            start, before = time.thread_time(), watch.player_s
            outputs = step()
            times.append((time.thread_time() - start - watch.player_s + before) * 1e6)
            return outputs

        llm.engine.step = timed_step  # type: ignore[method-assign]
        llm.generate(prompts, params, use_tqdm=False)
    return times[10 : 10 + NUM_STEPS]


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
def main(artifact: Path) -> None:
    """Measures batches of several sizes."""
    rows = []
    for batch in (1, 8, 64, 256):
        times = overheads_us(artifact, batch)
        rows.append(
            {"batch": batch, "median us": median(times), "p90 us": quantiles(times, n=10)[8]}
        )
    report("step_overhead", rows, artifact=artifact.name, steps=NUM_STEPS)


if __name__ == "__main__":
    main()
