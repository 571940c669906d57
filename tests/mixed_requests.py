"""Requests that together hold every pair of sampling features, over prompts that share prefixes."""

import random

import numpy as np
from covering import pairwise

from tapeout.runtime.frame import I32, Edits, Sampling
from tapeout.runtime.request import Request

PAGE_SIZE_TOKENS = 16
MAX_TOKENS = 96  # of prompt and output of any of these
_FIRST_WORD = 3  # the ids before it are special
_FOREVER = 2**31 - 1
_BAN = float("-inf")
_SETTINGS = {
    "temperature": (0.0, 0.7, 2.0),
    "top_k": (0, 1, 7),
    "top_p": (1.0, 0.9, 0.4),
    "min_p": (0.0, 0.05),
    "repetition_penalty": (1.0, 1.3),
    "presence_penalty": (0.0, 0.6, -0.4),
    "frequency_penalty": (0.0, 0.3),
    "num_logprobs": (None, 0, 4, 20),
    "num_prompt_logprobs": (None, None, 0, 2),
}
_OTHERS = {
    "edits": ("none", "biases", "bans for a while", "bad words"),
    "mask": ("none", "none", "one", "each token"),
    "length": (1, 15, 16, 17, 33, 50, 64, 80, MAX_TOKENS - 1),
    "stops": (False, True),
}


def mixed_requests(vocab_size: int, seed: int = 0) -> list[Request]:
    """About forty requests with outputs of 1 to 24 tokens, named r0, r1, ...

    Some end just where a context of MAX_TOKENS does.
    """
    rng = random.Random(seed)
    words = range(_FIRST_WORD, vocab_size)
    streams = [rng.choices(words, k=MAX_TOKENS) for _ in range(3)]
    streams[2][PAGE_SIZE_TOKENS:] = streams[0][PAGE_SIZE_TOKENS:]  # all alike but its first page
    return [
        _request(f"r{i}", features, rng.choice(streams), vocab_size, rng)
        for i, features in enumerate(pairwise(_SETTINGS | _OTHERS, seed))
    ]


def plain_request(name: str, prompt: list[int], max_tokens: int, **sampling: object) -> Request:
    """A seeded random request with logprobs."""
    settings = {"temperature": 0.8, "seed": 11, "num_logprobs": 3} | sampling
    return Request(
        request_id=name,
        prompt_token_ids=np.array(prompt, np.int32),
        max_tokens=max_tokens,
        sampling=Sampling(**settings),
        watched=True,
        reads_cache=settings.get("num_prompt_logprobs") is None,
    )


def _request(
    name: str, features: dict, stream: list[int], vocab_size: int, rng: random.Random
) -> Request:
    prompt = stream[: features["length"]]
    if rng.random() < 0.5:
        prompt = [*prompt[:-1], rng.randrange(_FIRST_WORD, vocab_size)]
    sampling = Sampling(
        seed=rng.randrange(-(2**63), 2**63),
        edits=_edits(features["edits"], prompt, vocab_size, rng),
        mask=_mask(vocab_size, rng) if features["mask"] == "one" else None,
        **{name: features[name] for name in _SETTINGS},
    )
    stops = rng.sample(range(vocab_size), vocab_size // 20) if features["stops"] else ()
    return Request(
        request_id=name,
        prompt_token_ids=np.array(prompt, np.int32),
        max_tokens=min(rng.randint(1, 24), MAX_TOKENS - len(prompt)),
        sampling=sampling,
        stop_token_ids=tuple(stops),
        min_tokens=rng.choice((0, 3)) if stops else 0,
        masked=features["mask"] == "each token",
        watched=True,
        reads_cache=sampling.num_prompt_logprobs is None,
    )


def _edits(kind: str, prompt: list[int], vocab_size: int, rng: random.Random) -> Edits | None:
    """Bad words begin with the prompt's last token, so that they count for the first of output."""
    if kind == "none":
        return None
    count = vocab_size // 3
    token_ids = rng.sample(range(vocab_size), count)
    value, end, prefix = {
        "biases": (1.5, _FOREVER, []),
        "bans for a while": (_BAN, len(prompt) + 4, []),
        "bad words": (_BAN, _FOREVER, prompt[-1:]),
    }[kind]
    return Edits(
        token_ids=np.array(token_ids, np.int32),
        values=np.array([value * rng.choice((1, 1, 2)) for _ in range(count)], np.float32),
        ends=np.full(count, end, np.int32),
        prefix_starts=np.arange(count + 1, dtype=np.int32) * len(prefix),
        prefix_tokens=np.array(prefix * count, np.int32),
    )


def _mask(vocab_size: int, rng: random.Random) -> I32:
    words = [rng.getrandbits(32) for _ in range(-(-vocab_size // 32))]
    return np.array(words, np.uint32).view(np.int32)
