"""Log-probabilities in the two shapes that OpenAI gives them."""

from collections.abc import Sequence

import msgspec

from ...runtime.logprobs import Logprob, LogprobsOfToken


class CompletionLogprobs(msgspec.Struct):
    """Of each token of a completion, in four lists."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class TopLogprob(msgspec.Struct):
    """A token that might have come."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(msgspec.Struct):
    """The token that came."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct):
    """Of each token of an answer."""

    content: list[TokenLogprob]
    refusal: None = None


def completion_logprobs(
    entries: Sequence[LogprobsOfToken | None], first_text: str, offset: int
) -> CompletionLogprobs:
    """Of tokens whose text begins at `offset`; one with no entry is the first of a prompt."""
    told = CompletionLogprobs([], [], [], [])
    for entry in entries:
        chosen = next(iter(entry.values())) if entry else None
        text = _text(chosen) if chosen else first_text
        told.tokens.append(text)
        told.token_logprobs.append(chosen.logprob if chosen else None)
        top = {_text(other): other.logprob for other in entry.values()} if entry else None
        told.top_logprobs.append(top)
        told.text_offset.append(offset)
        offset += len(text)
    return told


def chat_logprobs(entries: Sequence[LogprobsOfToken], num_top: int) -> ChatLogprobs:
    """Of the tokens of an answer, with the `num_top` most probable at each place."""
    return ChatLogprobs([_token_logprob(entry, num_top) for entry in entries])


def _token_logprob(entry: LogprobsOfToken, num_top: int) -> TokenLogprob:
    chosen = next(iter(entry.values()))
    ranked = sorted(entry.values(), key=lambda other: other.rank or 0)[:num_top]
    top = [TopLogprob(_text(o), o.logprob, list(_text(o).encode())) for o in ranked]
    text = _text(chosen)
    return TokenLogprob(text, chosen.logprob, list(text.encode()), top)


def _text(logprob: Logprob) -> str:
    return logprob.decoded_token or ""
