"""`tapeout bench`: how fast a model answers prompts of random tokens, through `LLM` as users do.

Options have vLLM's names and meaning. No tokenizer is needed: prompts are token ids.
"""

import time
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from ..errors import InputError, TapeoutError
from .bench_report import BenchReport, Run, report_of
from .checks import check_number, check_whole
from .frame import I64
from .llm import LLM
from .sampling_params import SamplingParams

_MAX_COUNT = 1 << 24
_MAX_SEED = 2**63 - 1


class LatencyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of equal requests, again and again. Raises InputError naming a bad value."""

    input_len: int = 32
    output_len: int = 128
    batch_size: int = 8
    num_iters: int = 30
    num_iters_warmup: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("input_len", "output_len", "batch_size", "num_iters"):
            check_whole(name, getattr(self, name), 1, _MAX_COUNT)
        check_whole("num_iters_warmup", self.num_iters_warmup, 0, _MAX_COUNT)
        check_whole("seed", self.seed, 0, _MAX_SEED)


class ThroughputOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Many requests at once. Raises InputError naming a bad value.

    Lengths are even over `input_len` and `output_len` times 1 - `random_range_ratio` to 1 + it;
    the prompts begin with the same `prefix_len` tokens, which come on top.
    """

    input_len: int = 128
    output_len: int = 128
    num_prompts: int = 100
    random_range_ratio: float = 0.0
    prefix_len: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("input_len", "output_len", "num_prompts"):
            check_whole(name, getattr(self, name), 1, _MAX_COUNT)
        check_whole("prefix_len", self.prefix_len, 0, _MAX_COUNT)
        check_number("random_range_ratio", self.random_range_ratio, 0.0, 1.0)
        check_whole("seed", self.seed, 0, _MAX_SEED)


def measure_latency(llm: LLM, options: LatencyOptions) -> BenchReport:
    """Runs batches one after the other; `latency_s` is that of a batch."""
    _check_fits(llm, options.input_len, options.output_len)
    generator = np.random.default_rng(options.seed)
    input_lens, output_lens = (
        np.full(options.batch_size, length) for length in (options.input_len, options.output_len)
    )
    runs = []
    for iteration in range(-options.num_iters_warmup, options.num_iters):
        prompts = _prompts(llm, generator, input_lens, 0)  # new ones: none is in the cache
        run = _run(llm, prompts, output_lens)
        if iteration >= 0:
            runs.append(run)
    return report_of(runs, [run.elapsed_s for run in runs])


def measure_throughput(llm: LLM, options: ThroughputOptions) -> BenchReport:
    """Gives all requests at once; `latency_s` is that of a request, its wait included."""
    generator = np.random.default_rng(options.seed)
    input_range, output_range = (
        _range(length, options.random_range_ratio)
        for length in (options.input_len, options.output_len)
    )
    _check_fits(llm, options.prefix_len + input_range.stop - 1, output_range.stop - 1)
    input_lens, output_lens = (
        generator.integers(lens.start, lens.stop, options.num_prompts)
        for lens in (input_range, output_range)
    )
    _run(llm, [[0]], [1])  # what is done once is done now
    run = _run(llm, _prompts(llm, generator, input_lens, options.prefix_len), output_lens)
    times = (output.metrics for output in run.outputs)
    return report_of([run], [t.finished_s - t.arrived_s for t in times if t is not None])


def _run(llm: LLM, prompts: Sequence[list[int]], output_lens: Iterable[int]) -> Run:
    params = [
        SamplingParams(temperature=1.0, seed=index, max_tokens=int(length), ignore_eos=True)
        for index, length in enumerate(output_lens)
    ]
    inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
    started_s, player_s = time.perf_counter(), llm.executor.player_s
    outputs = llm.generate(inputs, params, use_tqdm=False)
    elapsed_s = time.perf_counter() - started_s
    for output in outputs:
        reason = output.outputs[0].finish_reason
        if reason != "length":
            raise TapeoutError(f"request {output.request_id} ended early: {reason}")
    return Run(outputs, elapsed_s, llm.executor.player_s - player_s)


def _prompts(
    llm: LLM, generator: np.random.Generator, input_lens: I64, prefix_len: int
) -> list[list[int]]:
    vocab_size = llm.executor.vocab_size
    prefix = generator.integers(0, vocab_size, prefix_len).tolist()
    return [prefix + generator.integers(0, vocab_size, length).tolist() for length in input_lens]


def _range(length: int, ratio: float) -> range:
    """The lengths within the ratio, at least 1."""
    return range(max(1, int(np.ceil(length * (1 - ratio)))), int(length * (1 + ratio)) + 1)


def _check_fits(llm: LLM, input_len: int, output_len: int) -> None:
    if input_len + output_len > llm.bounds.max_model_len:
        raise InputError(
            f"input_len and output_len come to {input_len} + {output_len} tokens, more than "
            f"{llm.bounds.room}; lower one of them{llm.bounds.or_more_room}"
        )
