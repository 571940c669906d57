"""What HTTP costs: streams of a server beside `LLM.generate` with the same requests.

    PYTHONPATH=tests python bench/serve_streams.py ARTIFACT [--num-streams 64] [--num-fronts 1]

The two take turns; every round has prompts of its own, so nothing is answered from the cache.
`ratio` is streams over generate, of output tokens a second. `front us` is the fronts' CPU time for
an output token. `first ms` is a lone request's time to its first event, less the time to the first
token in this process.
"""

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import httpx
import numpy as np
from report import report
from server import serving

from tapeout import LLM, RequestOutputKind, SamplingParams

PROMPT_LENS, OUTPUT_LENS = (16, 256), (32, 128)
LONE_PROMPT, LONE_OUTPUT = 64, 8

Requests = list[tuple[list[int], int]]


def requests_of(vocab_size: int, num_requests: int, round_id: int) -> Requests:
    """Prompts and numbers of output tokens; lengths are the same in every round."""
    lengths, tokens = np.random.default_rng(0), np.random.default_rng(round_id)
    return [
        (
            tokens.integers(3, vocab_size, lengths.integers(*PROMPT_LENS)).tolist(),
            int(lengths.integers(*OUTPUT_LENS)),
        )
        for _ in range(num_requests)
    ]


def params_of(num_tokens: int) -> SamplingParams:
    """Greedy, and not ended by the model."""
    kind = RequestOutputKind.DELTA
    return SamplingParams(temperature=0, max_tokens=num_tokens, ignore_eos=True, output_kind=kind)


def generate_rate(llm: LLM, requests: Requests) -> float:
    """Output tokens a second of `LLM.generate`."""
    prompts: list[Any] = [{"prompt_token_ids": prompt} for prompt, _ in requests]
    params = [params_of(count) for _, count in requests]
    started_s = time.perf_counter()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    took_s = time.perf_counter() - started_s
    return sum(len(output.outputs[0].token_ids) for output in outputs) / took_s


def first_token_s(llm: LLM, prompt: list[int]) -> float:
    """Time to the first token of a lone request in this process."""
    started_s = time.perf_counter()
    stream = llm.stream({"prompt_token_ids": prompt}, params_of(LONE_OUTPUT))
    next(stream)
    took_s = time.perf_counter() - started_s
    stream.close()  # type: ignore[attr-defined]
    return took_s


async def stream(client: httpx.AsyncClient, prompt: list[int], num_tokens: int) -> float:
    """Reads a stream to its end; gives the time to its first event."""
    body = {"prompt": prompt, "max_tokens": num_tokens, "temperature": 0, "ignore_eos": True}
    started_s, first_s, num_seen = time.perf_counter(), 0.0, 0
    async with client.stream("POST", "/v1/completions", json=body | {"stream": True}) as answer:
        async for line in answer.aiter_lines():
            num_seen += line.startswith("data: {")
            first_s = first_s or time.perf_counter() - started_s
    assert num_seen, "a stream without an event"
    return first_s


async def serve_rate(url: str, requests: Requests) -> float:
    """Output tokens a second of as many streams as there are requests."""
    limits = httpx.Limits(max_connections=len(requests))
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:
        await client.get("/ready")
        started_s = time.perf_counter()
        await asyncio.gather(*(stream(client, *request) for request in requests))
        return sum(count for _, count in requests) / (time.perf_counter() - started_s)


async def first_event_s(url: str, prompt: list[int]) -> float:
    """Time to the first event of a lone request."""
    async with httpx.AsyncClient(base_url=url, timeout=None) as client:
        await client.get("/ready")
        return await stream(client, prompt, LONE_OUTPUT)


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--rounds", default=3)
@click.option("--num-streams", default=64)
@click.option("--num-fronts", default=1)
@click.option("--num-threads", type=int)
def main(
    artifact: Path, rounds: int, num_streams: int, num_fronts: int, num_threads: int | None
) -> None:
    """Measures an artifact."""
    load = {"max_num_seqs": num_streams} | ({"num_threads": num_threads} if num_threads else {})
    options = [
        part for name, value in load.items() for part in (f"--{name}".replace("_", "-"), str(value))
    ]
    rows = []
    llm = LLM(artifact, **load)
    vocab_size = llm.executor.vocab_size
    with serving(artifact, "--num-fronts", str(num_fronts), *options) as server:
        for round_id in range(rounds):
            requests = requests_of(vocab_size, num_streams, round_id)
            lone = [requests_of(vocab_size, 1, 1000 + 10 * round_id + i)[0][0] for i in range(10)]
            front_s = server.cpu_s("front_process")
            streams = asyncio.run(serve_rate(server.url, requests))
            front_s = server.cpu_s("front_process") - front_s
            rows.append(
                {
                    "generate": generate_rate(llm, requests),
                    "streams": streams,
                    "front us": front_s / sum(count for _, count in requests) * 1e6,
                    "token ms": median(first_token_s(llm, p) for p in lone) * 1e3,
                    "event ms": median(asyncio.run(first_event_s(server.url, p)) for p in lone)
                    * 1e3,
                }
            )
    middle: dict[str, Any] = {name: median(row[name] for row in rows) for name in rows[0]}
    middle["ratio"] = middle["streams"] / middle["generate"]
    middle["first ms"] = middle["event ms"] - middle["token ms"]
    report("serve_streams", [middle], rounds=rows, num_streams=num_streams)


if __name__ == "__main__":
    main()
