"""From `SamplingParams` to what the device is told: single logits edited, a mask, numbers.

Lists of words and ids become edits of logits here, so the kernels know no words.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from ..errors import InputError, shown
from .checks import check_in_vocabulary
from .frame import I32, Edits, Sampling
from .limits import MORE_CACHE
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer

_ROOM = {
    "caller": "max_model_len={}",
    "model": "the model's {} positions",
    "cache": "the {} tokens that the key-value cache holds",
}
_MORE_ROOM = {"caller": " or raise max_model_len", "model": "", "cache": f" or {MORE_CACHE}"}
_BAN = float("-inf")
_FOREVER = 2**31 - 1  # a position that no sequence reaches


class ModelBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a compiled model takes: its vocabulary, and the room of its tables for one sequence."""

    vocab_size: int
    max_model_len: int
    bound: Literal["caller", "model", "cache"] = "caller"  # what max_model_len is from
    eos_token_ids: tuple[int, ...]
    max_edits: int
    max_prefix_tokens: int  # of all edits together

    @property
    def room(self) -> str:
        """The tokens of a sequence, in the words of what can be changed about them."""
        return _ROOM[self.bound].format(self.max_model_len)

    @property
    def or_more_room(self) -> str:
        """What else can be done than to use fewer, if anything."""
        return _MORE_ROOM[self.bound]


class _Edit(msgspec.Struct, frozen=True):
    token_id: int
    value: float
    end: int = _FOREVER
    prefix: tuple[int, ...] = ()


def make_sampling(
    params: SamplingParams, num_prompt_tokens: int, tokenizer: Tokenizer | None, model: ModelBounds
) -> Sampling:
    """How the device chooses a sequence's tokens; the seed is left at 0.

    Raises InputError, naming the field, for ids outside the vocabulary, bad words without a
    tokenizer, more edits than the tables hold, or a choice among no tokens.
    """
    edits = _list_edits(params, num_prompt_tokens, tokenizer, model)
    _check_choice(params.allowed_token_ids, edits, model.vocab_size)
    greedy = params.is_greedy
    return Sampling(
        temperature=0.0 if greedy else float(params.temperature),
        top_k=0 if greedy or not 0 < params.top_k < model.vocab_size else params.top_k,
        top_p=1.0 if greedy else float(params.top_p),
        min_p=0.0 if greedy else float(params.min_p),
        repetition_penalty=float(params.repetition_penalty),
        presence_penalty=float(params.presence_penalty),
        frequency_penalty=float(params.frequency_penalty),
        num_logprobs=params.logprobs,
        num_prompt_logprobs=params.prompt_logprobs,
        edits=_pack(edits, model) if edits else None,
        mask=_mask(params.allowed_token_ids, model.vocab_size),
    )


def stop_token_ids(params: SamplingParams, eos_token_ids: Sequence[int]) -> tuple[int, ...]:
    """The tokens that end an output, each once."""
    eos = () if params.ignore_eos else eos_token_ids
    return tuple(dict.fromkeys([*(params.stop_token_ids or ()), *eos]))


def _list_edits(
    params: SamplingParams, num_prompt_tokens: int, tokenizer: Tokenizer | None, model: ModelBounds
) -> list[_Edit]:
    """Biases, then bans up to `min_tokens`, then bad words."""
    bias, stop_ids = params.logit_bias or {}, params.stop_token_ids or []
    check_in_vocabulary("logit_bias", bias, model.vocab_size)
    check_in_vocabulary("stop_token_ids", stop_ids, model.vocab_size)
    edits = [_Edit(token_id, float(value)) for token_id, value in bias.items()]
    if params.min_tokens:  # an end of sequence is banned also where it is ignored, as in vLLM
        first_free = min(num_prompt_tokens + params.min_tokens, _FOREVER)
        banned = dict.fromkeys([*stop_ids, *model.eos_token_ids])
        edits += [_Edit(token_id, _BAN, first_free) for token_id in banned]
    for word in dict.fromkeys(params.bad_words or ()):
        edits += [
            _Edit(token_ids[-1], _BAN, prefix=tuple(token_ids[:-1]))
            for token_ids in _spellings(word, tokenizer, model.vocab_size)
        ]
    return edits


def _spellings(word: str, tokenizer: Tokenizer | None, vocab_size: int) -> list[list[int]]:
    """The tokens of a bad word at the start of a text and, where they differ, behind a space.

    The second is kept where it is as long and begins with another token, as vLLM does.
    """
    if tokenizer is None:
        raise InputError(f"bad_words={shown(word)} needs a tokenizer; use logit_bias or load one")
    bare = word.lstrip()
    first = tokenizer.encode(bare, add_special_tokens=False)
    if not first:
        raise InputError(f"bad_words={shown(word)} has no token; leave it out")
    second = tokenizer.encode(f" {bare}", add_special_tokens=False)
    check_in_vocabulary("bad_words", [*first, *second], vocab_size)
    is_other = len(second) == len(first) and second[0] != first[0]
    return [first, second] if is_other else [first]


def _pack(edits: list[_Edit], model: ModelBounds) -> Edits:
    prefixes = [edit.prefix for edit in edits]
    num_tokens = sum(map(len, prefixes))
    if len(edits) > model.max_edits or num_tokens > model.max_prefix_tokens:
        raise InputError(
            f"logit_bias, bad_words and the stop tokens of min_tokens make {len(edits)} edits of "
            f"logits behind {num_tokens} tokens; the model is compiled for {model.max_edits} "
            f"behind {model.max_prefix_tokens}; give fewer"
        )
    return Edits(
        token_ids=np.array([edit.token_id for edit in edits], np.int32),
        values=np.array([edit.value for edit in edits], np.float32),
        ends=np.array([edit.end for edit in edits], np.int32),
        prefix_starts=np.cumsum([0, *map(len, prefixes)], dtype=np.int32),
        prefix_tokens=np.array([t for prefix in prefixes for t in prefix], np.int32),
    )


def _mask(allowed: Sequence[int] | None, vocab_size: int) -> I32 | None:
    """Bit v % 32 of word v // 32 for each allowed token v, i32[ceil(V / 32)]."""
    if allowed is None:
        return None
    check_in_vocabulary("allowed_token_ids", allowed, vocab_size)
    bits = np.zeros(-(-vocab_size // 32) * 32, np.bool_)
    bits[list(allowed)] = True
    return np.packbits(bits, bitorder="little").view(np.int32)


def _check_choice(allowed: Sequence[int] | None, edits: list[_Edit], vocab_size: int) -> None:
    """Bad words of several tokens may still ban the last token that is left, much later."""
    banned = {edit.token_id for edit in edits if edit.value == _BAN and not edit.prefix}
    num_left = vocab_size - len(banned) if allowed is None else len(set(allowed) - banned)
    if num_left == 0:
        raise InputError(
            f"allowed_token_ids={shown(allowed)} leaves no token to choose: bad_words, or the stop "
            "tokens of min_tokens, ban all of them; allow another"
        )
