"""What is measured of a model on a GPU: steps, prefills, a mixed load, and the card's limits."""

import gc
import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from tapeout import LLM, SamplingParams
from tapeout.runtime.frame import Frame

NUM_NEW = 256


class Row(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    unit: str
    floor: float | None = None  # of the bytes that must be read, in the same unit

    def json(self) -> dict[str, Any]:
        """As the report prints it."""
        share = f"{100 * self.floor / self.value:.1f} %" if self.floor else ""
        return {"what": self.what, "value": self.value, "unit": self.unit, "of the floor": share}


class Bench:
    """Rows of one loaded model; prompts are random and never the same."""

    def __init__(
        self,
        llm: LLM,
        weights_bytes: Callable[[int], float],
        kv_bytes_per_token: int,
        read_bw: float,
    ):
        self._llm, self._random = llm, np.random.default_rng(0)
        self._weights_bytes, self._kv_bytes_per_token = weights_bytes, kv_bytes_per_token
        self._bytes_per_ms = read_bw / 1000
        self._frames: dict[int, Frame] = {}
        self._queue, llm.executor.submit = llm.executor.submit, self._submit
        gc.collect()
        gc.freeze()  # torch and transformers, which only this process has, are not gone through

    def step_ms(self, batch: int, context: int, repeats: int = 3) -> list[Row]:
        """A decode step of a batch, and how long the device stands still between two."""
        self._frames.clear()
        self.seconds(batch, context, 2)
        times, idle = [], []
        for _ in range(repeats):
            short_s, short_player_s = self.seconds(batch, context, 1)
            long_s, player_s = self.seconds(batch, context, 1 + NUM_NEW)
            times.append(1000 * (long_s - short_s) / NUM_NEW)
            idle.append(1 - (player_s - short_player_s) / (long_s - short_s))
        kv_bytes = batch * (context + NUM_NEW / 2) * self._kv_bytes_per_token
        floor = (self._weights_bytes(batch) + kv_bytes) / self._bytes_per_ms
        what = f"b{batch} ctx {context}"
        return [
            Row(f"step {what}", median(times), "ms", floor),
            Row(f"graph alone {what}", 1000 * self._replay_s(batch), "ms", floor),
            Row(f"idle {what}", 100 * median(idle), "%"),
        ]

    def graph_s(self, batch: int, context: int) -> float:
        """A decode step's graph alone, soon after a context of that length."""
        self._frames.clear()
        tokens_a_step = self._llm.memory_plan.max_num_batched_tokens - batch  # all may decode
        num_steps = -(-batch * context // tokens_a_step)
        self.seconds(batch, context, 8 + num_steps)  # the first goes on until the last decodes
        return self._replay_s(batch)

    def _replay_s(self, batch: int, repeats: int = 50) -> float:
        """A decode step's graph again and again, without copies: what its kernels take."""
        executor, frame = self._llm.executor, self._frames.get(batch)
        graph = executor._graphs.find((batch, batch, batch, 0))
        if graph is None or frame is None:
            return float("nan")
        executor.run(frame)  # so that the graph finds inputs of its own size
        device, stages = executor.device, executor._stages
        number = graph.numbers[stages[(executor._num_queued - 1) % len(stages)]]
        start, end = (device.event(with_time=True) for _ in range(2))
        device.call("event_record", start)
        for _ in range(repeats):
            device.run_graph(number)
        device.call("event_record", end)
        device.synchronize()
        return device.elapsed_s(start, end) / repeats

    def _submit(self, frame: Frame) -> None:
        """Keeps a decode step of each size: its arrays are the engine's, so a copy."""
        num_tokens, num_seqs, num_rows, _ = frame.dims
        if num_tokens == num_seqs == num_rows and num_rows not in self._frames:
            self._frames[num_rows] = deepcopy(frame)
        self._queue(frame)

    def prefill_ms(self, batch: int, context: int, repeats: int = 5) -> list[Row]:
        """The time to the first token of prompts that come at once."""
        self.seconds(batch, context, 1)
        times = [self.seconds(batch, context, 1)[0] for _ in range(repeats)]
        return [Row(f"prefill {batch}x{context}", 1000 * median(times), "ms")]

    def mixed(self, num_requests: int = 256) -> list[Row]:
        """Output tokens a second of requests of mixed lengths, all given at once."""
        random = np.random.default_rng(0)
        input_lens, output_lens = random.integers(100, 1025, (2, num_requests))
        prompts = [self._prompt(int(n)) for n in input_lens]
        params = [
            SamplingParams(temperature=0.6, max_tokens=int(n), ignore_eos=True, seed=i)
            for i, n in enumerate(output_lens)
        ]
        start = time.perf_counter()
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        elapsed_s = time.perf_counter() - start
        num_tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        assert num_tokens == int(output_lens.sum())
        return [Row("mixed", num_tokens / elapsed_s, "tokens/s")]

    def seconds(self, batch: int, context: int, num_new: int) -> tuple[float, float]:
        """Seconds that a batch takes, and that the device computes of them."""
        prompts = [self._prompt(context) for _ in range(batch)]
        params = SamplingParams(temperature=0, max_tokens=num_new, ignore_eos=True)
        start, player_s = time.perf_counter(), self._llm.executor.player_s
        self._llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - start, self._llm.executor.player_s - player_s

    def _prompt(self, length: int) -> dict[str, Any]:
        vocab_size = self._llm.executor.vocab_size
        return {"prompt_token_ids": self._random.integers(0, vocab_size, length).tolist()}


def card_limits() -> dict[str, float]:
    """Bytes a second read and copied, and bf16 operations a second, as torch reaches them."""
    data = torch.empty(1 << 30, dtype=torch.float32, device="cuda").normal_()
    other = torch.empty_like(data)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return {
        "read bytes/s": data.nbytes / _device_s(lambda: data.sum()),
        "copy bytes/s": 2 * data.nbytes / _device_s(lambda: other.copy_(data)),
        "bf16 op/s": 2 * 8192**3 / _device_s(lambda: a @ b),
    }


def _device_s(run: Callable[[], object], repeats: int = 20) -> float:
    times = []
    for _ in range(repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return median(times[3:])
