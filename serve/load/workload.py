"""Requests drawn from a seed: the same seed gives the same lengths, prompts and times."""

from collections.abc import Callable, Iterator
from math import ceil, log
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ...runtime.frame import I64
from .options import LoadOptions

_TOKEN_IDS = (10, 250)  # which any vocabulary has
_WORDS = ("sun", "ice", "map", "oak", "red", "cup", "sea", "fog", "hat", "pen", "owl", "key")

Draw = Callable[[int], I64]


class LogNormal(NamedTuple):
    """Lengths whose logarithms are normal, cut off at `most`."""

    mean: float
    spread: float  # standard deviation of the logarithm
    most: int = 2048

    def draw(self, generator: np.random.Generator, count: int) -> I64:
        """So many lengths, at least 1."""
        middle = log(self.mean) - self.spread**2 / 2
        lengths = generator.lognormal(middle, self.spread, count).round().astype(np.int64)
        return np.clip(lengths, 1, self.most)


# Tokens of prompts and outputs. The means are those of the two data sets in the paper on vLLM
# (Kwon et al., 2023, figure 11); the spreads are as wide as its histograms.
MIXES = {
    "sharegpt": (LogNormal(161.31, 1.2), LogNormal(337.99, 0.9)),
    "alpaca": (LogNormal(19.31, 0.5), LogNormal(58.45, 0.9)),
}


class Ask(msgspec.Struct, frozen=True):
    """One request."""

    arrival_s: float  # from the start; in a closed loop 0
    body: dict[str, Any]


def draw_asks(options: LoadOptions, model: str) -> list[Ask]:
    """All requests, in the order in which they come."""
    generator = np.random.default_rng(options.seed)
    lengths = zip(*draw_lengths(options, generator), strict=True)
    arrivals = draw_arrivals(options, generator)
    return [
        Ask(arrival_s, _body(options, model, prompt_len, output_len, generator))
        for arrival_s, (prompt_len, output_len) in zip(arrivals, lengths, strict=True)
    ]


def draw_lengths(options: LoadOptions, generator: np.random.Generator) -> tuple[I64, I64]:
    """Tokens of each prompt and of each output."""
    count = options.num_prompts
    if options.lengths in MIXES:
        prompts, outputs = MIXES[options.lengths]
        return prompts.draw(generator, count), outputs.draw(generator, count)
    ratio = options.random_range_ratio if options.lengths == "uniform" else 0.0
    prompt_lens, output_lens = (
        generator.integers(max(1, ceil(length * (1 - ratio))), int(length * (1 + ratio)) + 1, count)
        for length in (options.input_len, options.output_len)
    )
    return prompt_lens, output_lens


def draw_arrivals(options: LoadOptions, generator: np.random.Generator) -> Iterator[float]:
    """Seconds from the start: a Poisson process of the rate."""
    if options.request_rate is None:
        yield from [0.0] * options.num_prompts
    else:
        gaps_s = generator.exponential(1 / options.request_rate, options.num_prompts)
        yield from np.cumsum(gaps_s).tolist()


def _body(
    options: LoadOptions,
    model: str,
    prompt_len: int,
    output_len: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "temperature": 0.0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    if options.ignore_eos:
        body["ignore_eos"] = True
    if options.endpoint == "completions":
        prompt = generator.integers(*_TOKEN_IDS, prompt_len).tolist()
        return body | {"prompt": prompt, "max_tokens": int(output_len)}
    text = " ".join(generator.choice(_WORDS, prompt_len))  # a token a word, more or less
    messages = [{"role": "user", "content": text}]
    return body | {"messages": messages, "max_completion_tokens": int(output_len)}
