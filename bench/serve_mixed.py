"""The mixed workload through HTTP, beside `LLM.generate`; then a lone stream, beside lone steps.

    PYTHONPATH=tests python bench/serve_mixed.py ARTIFACT [--num-streams 256] [--num-fronts 1,2,4]

Prompts and outputs are of 100 to 1024 tokens, at a temperature of 0.6; all come at once. The model
is loaded in a process of its own for what is measured offline, which ends before the server starts.
The artifact needs a tokenizer.
"""

import asyncio
import json
import multiprocessing
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from report import report
from server import serving

from tapeout import LLM, SamplingParams
from tapeout.artifact import Artifact

LENGTHS = (100, 1025)
LONE_PROMPT, LONE_OUTPUT = 128, 257

Requests = list[dict[str, Any]]


def requests_of(vocab_size: int, num_requests: int, longest: int) -> Requests:
    """Bodies of completions; with `longest` no prompt and no output is longer."""
    random = np.random.default_rng(0)
    prompts, outputs = (
        np.minimum(random.integers(*LENGTHS, num_requests), longest).tolist() for _ in range(2)
    )
    common = {"temperature": 0.6, "ignore_eos": True, "stream": True}
    return [
        {"prompt": random.integers(3, vocab_size, n).tolist(), "max_tokens": count, **common}
        for n, count in zip(prompts, outputs, strict=True)
    ]


def lone_of(vocab_size: int, seed: int) -> dict[str, Any]:
    """One request that is alone."""
    prompt = np.random.default_rng(1000 + seed).integers(3, vocab_size, LONE_PROMPT).tolist()
    common = {"temperature": 0, "ignore_eos": True, "stream": True}
    return {"prompt": prompt, "max_tokens": LONE_OUTPUT, **common}


def offline(
    artifact: Path, load: dict[str, Any], requests: Requests, lone: Requests
) -> list[float]:
    """Output tokens a second of all requests, and seconds of a lone step."""
    llm = LLM(artifact, skip_tokenizer_init=True, enable_prefix_caching=False, **load)

    def generate(bodies: Requests) -> float:
        names = ("max_tokens", "temperature", "ignore_eos")
        params = [
            SamplingParams(detokenize=False, **{name: body[name] for name in names})
            for body in bodies
        ]
        prompts: list[Any] = [{"prompt_token_ids": body["prompt"]} for body in bodies]
        started_s = time.perf_counter()
        llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - started_s

    generate([lone[0] | {"max_tokens": 2}])
    took_s = generate(requests)
    step_s = [
        (generate([body]) - generate([body | {"max_tokens": 1}])) / (LONE_OUTPUT - 1)
        for body in lone
    ]
    return [sum(body["max_tokens"] for body in requests) / took_s, median(step_s)]


async def stream(url: str, body: dict[str, Any]) -> list[float]:
    """When each event came."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 22)
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\ncontent-length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    times, data = [], b""
    while b"[DONE]" not in data:
        data = data[-20:] + await reader.read(1 << 16)
        times.append(time.perf_counter())
        assert b'"error"' not in data, data
    writer.close()
    return times


async def crowd(url: str, requests: Requests) -> float:
    """Output tokens a second of all streams together."""
    started_s = time.perf_counter()
    await asyncio.gather(*(stream(url, body) for body in requests))
    return sum(body["max_tokens"] for body in requests) / (time.perf_counter() - started_s)


def lone_interval_s(url: str, lone: Requests) -> float:
    """The median time from one event to the next of lone streams."""
    times = [asyncio.run(stream(url, body)) for body in lone]
    return median(after - before for one in times for before, after in pairwise(one))


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--num-streams", default=256)
@click.option("--num-fronts", default="1,2,4")
@click.option("--max-model-len", type=int)
@click.option("--longest", default=LENGTHS[1], help="Tokens of a prompt, and of an output.")
def main(
    artifact: Path, num_streams: int, num_fronts: str, max_model_len: int | None, longest: int
) -> None:
    """Measures an artifact."""
    vocab_size = Artifact.open(artifact).manifest.model.vocab_size
    load = {"max_num_seqs": num_streams, "max_model_len": max_model_len}
    load = {name: value for name, value in load.items() if value is not None}
    requests = requests_of(vocab_size, num_streams, longest)
    lone = [lone_of(vocab_size, seed) for seed in range(3)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rate, step_s = pool.apply(offline, (artifact, load, requests, lone))
    rows: list[dict[str, Any]] = [
        {"fronts": 0, "tokens/s": rate, "ratio": 1.0, "step ms": step_s * 1e3}
    ]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in load.items()]
    for count in num_fronts.split(","):
        with serving(
            artifact, f"--num-fronts={count}", "--no-enable-prefix-caching", *options
        ) as server:
            asyncio.run(stream(server.url, lone[0] | {"max_tokens": 2}))
            busy_s = server.cpu_s("front_process")
            found = asyncio.run(crowd(server.url, requests))
            busy_s = server.cpu_s("front_process") - busy_s
            interval_s = lone_interval_s(server.url, lone)
        num_tokens = sum(body["max_tokens"] for body in requests)
        rows.append(
            {
                "fronts": int(count),
                "tokens/s": found,
                "ratio": found / rate,
                "step ms": interval_s * 1e3,
                "front us a token": busy_s / num_tokens * 1e6,
            }
        )
    rows[0]["front us a token"] = 0.0
    report("serve_mixed", rows, artifact=artifact.name, num_streams=num_streams)


if __name__ == "__main__":
    main()
