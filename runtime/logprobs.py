"""Log-probabilities of tokens in the shape that vLLM gives them."""

from collections.abc import Callable

import msgspec

from .frame import Logprobs


class Logprob(msgspec.Struct):
    """One token where it might have come."""

    logprob: float
    rank: int | None = None  # 1 is the most probable
    decoded_token: str | None = None


LogprobsOfToken = dict[int, Logprob]
"""By token id: the chosen token first, then the most probable of the others."""


def logprobs_of_row(
    logprobs: Logprobs, row: int, token_id: int, count: int, decode: Callable[[int], str | None]
) -> LogprobsOfToken:
    """The chosen token of a row and the `count` most probable ones, which it may be among."""
    chosen = Logprob(float(logprobs.chosen[row]), int(logprobs.ranks[row]), decode(token_id))
    entries = {token_id: chosen}
    token_ids = logprobs.top_token_ids[row, :count].tolist()
    values = logprobs.top[row, :count].tolist()
    for rank, (other, value) in enumerate(zip(token_ids, values, strict=True), start=1):
        if other >= 0 and other != token_id:  # below 0: there are fewer tokens than that
            entries[other] = Logprob(value, rank, decode(other))
    return entries
