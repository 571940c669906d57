"""What scheduling, sampling parameters and outputs cost beside the steps themselves.

    python bench/engine_vs_replay.py ARTIFACT [--rounds 3]

64 requests of mixed length go through `LLM.generate`; then the very frames that the engine made are
queued at once and played back to back, the ideal. The two take turns; every round has prompts of
its own, so nothing is answered from the cache. Ratio: ideal over engine, of medians. `player s` is
the part of the engine's time in which kernels ran.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from report import report

from tapeout import LLM, SamplingParams
from tapeout.runtime.frame import I32, Frame

NUM_REQUESTS = 64
PROMPT_LENS, OUTPUT_LENS = (16, 512), (16, 256)


class Recorder:
    """Keeps the frames that go to the executor and the tokens that come back."""

    def __init__(self, llm: LLM) -> None:
        self.frames: list[Frame] = []
        self.token_ids: list[I32] = []
        self._executor = llm.executor
        self._submit, self._wait = llm.executor.submit, llm.executor.wait

    def __enter__(self) -> "Recorder":
        def submit(frame: Frame) -> None:
            self.frames.append(frame)
            self._submit(frame)

        def wait() -> Any:
            result = self._wait()
            self.token_ids.append(result.token_ids)
            return result

        self._executor.submit, self._executor.wait = submit, wait  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        del self._executor.submit, self._executor.wait


def requests_of(vocab_size: int, round_id: int) -> tuple[list[Any], list[SamplingParams]]:
    """Prompts and params; lengths are the same in every round."""
    lengths, tokens = np.random.default_rng(0), np.random.default_rng(round_id)
    prompt_lens = lengths.integers(PROMPT_LENS[0], PROMPT_LENS[1] + 1, NUM_REQUESTS)
    output_lens = lengths.integers(OUTPUT_LENS[0], OUTPUT_LENS[1] + 1, NUM_REQUESTS)
    prompts = [
        {"prompt_token_ids": tokens.integers(3, vocab_size, n).tolist()} for n in prompt_lens
    ]
    params = [
        SamplingParams(temperature=0, max_tokens=int(n), ignore_eos=True) for n in output_lens
    ]
    return prompts, params


def replay_s(llm: LLM, recorded: Recorder) -> float:
    """Seconds of the frames back to back; what they say must be what was said."""
    executor = llm.executor
    started_s = time.perf_counter()
    for frame in recorded.frames:
        executor.submit(frame)
    results = [executor.wait() for _ in recorded.frames]
    took_s = time.perf_counter() - started_s
    for result, token_ids in zip(results, recorded.token_ids, strict=True):
        assert np.array_equal(result.token_ids, token_ids), "the replay says something else"
    return took_s


def measure(llm: LLM, round_id: int) -> dict[str, float]:
    """One round."""
    prompts, params = requests_of(llm.executor.vocab_size, round_id)
    with Recorder(llm) as recorded:
        started_s, player_s = time.perf_counter(), llm.executor.player_s
        llm.generate(prompts, params, use_tqdm=False)
        engine_s = time.perf_counter() - started_s
        player_s = llm.executor.player_s - player_s
    ideal_s = replay_s(llm, recorded)
    steps = len(recorded.frames)
    return {"steps": steps, "engine s": engine_s, "player s": player_s, "ideal s": ideal_s}


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3)
@click.option("--threads", type=int, help="Default: one for each core.")
def main(artifact: Path, rounds: int, threads: int | None) -> None:
    """Measures some rounds, after one to warm up."""
    llm = LLM(
        artifact,
        skip_tokenizer_init=True,
        max_num_seqs=NUM_REQUESTS,
        max_model_len=PROMPT_LENS[1] + OUTPUT_LENS[1],
        num_threads=threads,
    )
    rows = [measure(llm, round_id) for round_id in range(rounds + 1)][1:]
    for row in rows:
        row["ratio"] = row["ideal s"] / row["engine s"]
    ideal_s, engine_s = (median(row[name] for row in rows) for name in ("ideal s", "engine s"))
    report("engine_vs_replay", rows, artifact=artifact.name, ratio=ideal_s / engine_s)
    print(f"ratio {ideal_s / engine_s:.3f}")


if __name__ == "__main__":
    main()
