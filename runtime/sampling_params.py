"""`SamplingParams`: how to continue a prompt, in vLLM's words.

Every field of vLLM's is known here. Those that are not honoured are refused by name when they are
set, never passed over.
"""

import copy
from enum import Enum
from typing import Any

import msgspec

from ..errors import InputError, shown
from .checks import check_flag, check_number, check_texts, check_token_ids, check_whole
from .frame import NUM_TOP_LOGPROBS
from .grammars.params import StructuredOutputsParams

MAX_LOGPROBS = NUM_TOP_LOGPROBS
MAX_STOP_STRINGS = 256
_MAX_STOP_CHARACTERS = 16384
_MAX_BAD_WORDS = 1024
_MAX_BAD_WORD_CHARACTERS = 65536
_MAX_STOP_TOKENS = 1024
_MAX_ALLOWED_TOKENS = 1 << 19
_MAX_BIASES = 1024
_MAX_BIAS = 1e9
_MAX_TEMPERATURE = 1e6
_MIN_PENALTY, _MAX_PENALTY = 1e-6, 1e6  # no logit overflows by them, and none is divided by 0
_MAX_N = 1024
_MAX_COUNT = 2**31 - 1
_GREEDY_BELOW = 1e-5

NOT_HONOURED = (
    "watermarking",
    "prompt_logprob_token_ids",
    "prompt_logprob_start",
    "logprob_token_ids",
    "flat_logprobs",
    "logits_processors",
    "extra_args",
    "thinking_token_budget",
    "repetition_detection",
    "routed_experts_prompt_start",
    "trace_decode_token_ids",
)
"""Fields that may be given only with a value that means off."""


class RequestOutputKind(Enum):
    """What the outputs of a stream hold."""

    CUMULATIVE = 0  # all that there is so far
    DELTA = 1  # what is new since the last one
    FINAL_ONLY = 2  # all, once, at the end


class SamplingParams(msgspec.Struct, kw_only=True):
    """How many tokens to generate, how to choose each, when to end, and what to tell.

    Raises InputError, naming the field and what it allows, for a value that cannot be used.
    """

    n: int = 1  # completions of each prompt
    presence_penalty: float = 0.0  # taken from the logits of tokens that are in the output
    frequency_penalty: float = 0.0  # the same, times how often they are in it
    repetition_penalty: float = 1.0  # divides logits above 0 of tokens in prompt and output
    temperature: float = 1.0  # 0 takes the most probable token
    top_p: float = 1.0
    top_k: int = 0  # 0 and -1: off
    min_p: float = 0.0
    seed: int | None = None  # None and -1: one for each request, drawn from the seed of the model
    stop: str | list[str] | None = None  # the text ends before any of these
    stop_token_ids: list[int] | None = None  # as if they were end-of-sequence tokens
    ignore_eos: bool = False
    max_tokens: int | None = 16  # None: up to the end of the context
    min_tokens: int = 0  # before which no stop token and no stop string ends it
    logprobs: int | None = None  # of how many of the most probable tokens, beside the chosen one
    prompt_logprobs: int | None = None  # the same for each token of the prompt
    detokenize: bool = True  # False leaves `text` empty
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    stream_interval: int | None = None  # tokens from one output of a stream to the next
    skip_clone: bool = False  # changes nothing: a request always has a copy of its own
    logit_bias: dict[int, float] | None = None  # added to the logits of these tokens
    allowed_token_ids: list[int] | None = None  # no other is chosen
    bad_words: list[str] | None = None  # the token that would complete one is not chosen
    truncate_prompt_tokens: int | None = None  # keeps so many at its end; -1: as many as fit
    skip_reading_prefix_cache: bool | None = None  # None: if the prompt's logprobs are wanted
    structured_outputs: StructuredOutputsParams | None = None  # what the output must match
    watermarking: Any = None
    prompt_logprob_token_ids: list[int] | None = None
    prompt_logprob_start: int | None = None
    logprob_token_ids: list[int] | None = None
    flat_logprobs: bool = False
    logits_processors: list[Any] | None = None
    extra_args: dict[str, Any] | None = None
    thinking_token_budget: int | None = None
    repetition_detection: Any = None
    routed_experts_prompt_start: int = 0
    trace_decode_token_ids: list[int] | None = None

    def __post_init__(self) -> None:
        self.check()

    @classmethod
    def from_optional(cls, **fields: Any) -> "SamplingParams":
        """Params of a request's fields: None stands for the default, except where it is a value.

        Keys of `logit_bias` may be texts of numbers and its values are cut to -100 to 100, as
        OpenAI's API has them. Raises InputError for what cannot be used.
        """
        unknown = sorted(fields.keys() - _DEFAULTS.keys())
        if unknown:
            raise InputError(f"{shown(unknown[0])} is no sampling parameter; leave it out")
        given = {n: v for n, v in fields.items() if v is not None or n == "max_tokens"}
        if "logit_bias" in given:
            given["logit_bias"] = _openai_bias(given["logit_bias"])
        return cls(**given)

    def clone(self) -> "SamplingParams":
        """A copy whose fields can be set without changing these."""
        return copy.copy(self)

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def is_greedy(self) -> bool:
        """Whether the temperature is 0, or so small that it means 0."""
        return self.temperature < _GREEDY_BELOW

    @property
    def is_watched(self) -> bool:
        """Whether each token must be seen as it comes, by whoever asks, to end right or to tell."""
        wants_logprobs = self.logprobs is not None or self.prompt_logprobs is not None
        return bool(self.stop) or wants_logprobs

    @property
    def reads_prefix_cache(self) -> bool:
        """Whether a prompt's cached pages may be used; logprobs of a prompt need it computed."""
        if self.skip_reading_prefix_cache is None:
            return self.prompt_logprobs is None
        return not self.skip_reading_prefix_cache

    def check(self) -> None:
        """Raises InputError for a value that cannot be used; fields may have changed since."""
        _refuse_unhonoured(self)
        for name in _FLAGS:
            check_flag(name, getattr(self, name))
        _check_numbers(self)
        _check_counts(self)
        _check_logprobs(self)
        _check_stops(self)
        _check_tokens(self)
        if not isinstance(self.output_kind, RequestOutputKind):
            raise InputError(
                f"output_kind={shown(self.output_kind)} is not a RequestOutputKind; give "
                "CUMULATIVE, DELTA or FINAL_ONLY of it"
            )
        structured = self.structured_outputs
        if not (structured is None or isinstance(structured, StructuredOutputsParams)):
            raise InputError(
                f"structured_outputs={shown(structured)} is not a StructuredOutputsParams"
            )
        if self.n > 1 and self.is_greedy:
            raise InputError(f"n={self.n} with temperature=0 gives the same text n times; set n=1")


def _refuse_unhonoured(params: SamplingParams) -> None:
    for name in NOT_HONOURED:
        value, default = getattr(params, name), _DEFAULTS[name]
        means_off = value is None or (type(value) is type(default) and value == default)
        means_off = means_off or (isinstance(value, (list, dict)) and not value)
        if not means_off:
            raise InputError(
                f"{name}={shown(value)} is not honoured by this version; leave it at {default}"
            )


def _check_numbers(params: SamplingParams) -> None:
    check_number("temperature", params.temperature, 0.0, _MAX_TEMPERATURE)
    check_number("top_p", params.top_p, 0.0, 1.0, is_open=True)
    check_number("min_p", params.min_p, 0.0, 1.0)
    check_number("presence_penalty", params.presence_penalty, -2.0, 2.0)
    check_number("frequency_penalty", params.frequency_penalty, -2.0, 2.0)
    check_number("repetition_penalty", params.repetition_penalty, _MIN_PENALTY, _MAX_PENALTY)
    if params.seed is not None:
        check_whole("seed", params.seed, -(2**63), 2**63 - 1)


def _check_counts(params: SamplingParams) -> None:
    check_whole("n", params.n, 1, _MAX_N)
    check_whole("top_k", params.top_k, -1, _MAX_COUNT)
    check_whole("min_tokens", params.min_tokens, 0, _MAX_COUNT)
    for name in ("max_tokens", "stream_interval"):
        if getattr(params, name) is not None:
            check_whole(name, getattr(params, name), 1, _MAX_COUNT)
    if params.max_tokens is not None and params.min_tokens > params.max_tokens:
        raise InputError(
            f"min_tokens={params.min_tokens} is more than max_tokens={params.max_tokens}; lower it"
        )
    if params.truncate_prompt_tokens is not None:
        check_whole("truncate_prompt_tokens", params.truncate_prompt_tokens, -1, _MAX_COUNT)
    if params.truncate_prompt_tokens == 0:
        raise InputError("truncate_prompt_tokens=0 leaves no prompt; give at least 1, or -1")
    if params.skip_reading_prefix_cache is not None:
        check_flag("skip_reading_prefix_cache", params.skip_reading_prefix_cache)


def _check_logprobs(params: SamplingParams) -> None:
    for name in ("logprobs", "prompt_logprobs"):
        value = getattr(params, name)
        if isinstance(value, int) and value == -1:
            raise InputError(
                f"{name}=-1, those of the whole vocabulary, is not honoured: a step gives the "
                f"{MAX_LOGPROBS} most probable; give a whole number from 0 to {MAX_LOGPROBS}"
            )
        if value is not None:
            check_whole(name, value, 0, MAX_LOGPROBS)


def _check_stops(params: SamplingParams) -> None:
    if params.stop is not None:
        texts = [params.stop] if isinstance(params.stop, str) else params.stop
        check_texts("stop", texts, MAX_STOP_STRINGS, _MAX_STOP_CHARACTERS)
        if texts and not params.detokenize:
            raise InputError("stop needs the text: leave detokenize at True, or use stop_token_ids")
    if params.stop_token_ids is not None:
        check_token_ids("stop_token_ids", params.stop_token_ids, _MAX_STOP_TOKENS)


def _check_tokens(params: SamplingParams) -> None:
    if params.bad_words is not None:
        check_texts("bad_words", params.bad_words, _MAX_BAD_WORDS, _MAX_BAD_WORD_CHARACTERS)
    if params.allowed_token_ids is not None:
        check_token_ids("allowed_token_ids", params.allowed_token_ids, _MAX_ALLOWED_TOKENS)
        if len(params.allowed_token_ids) == 0:
            raise InputError("allowed_token_ids=[] allows no token; give at least one, or None")
    if params.logit_bias is None:
        return
    if not isinstance(params.logit_bias, dict):
        raise InputError(f"logit_bias={shown(params.logit_bias)} is not a dict of token ids")
    check_token_ids("logit_bias", list(params.logit_bias), _MAX_BIASES)
    for token_id, bias in params.logit_bias.items():
        check_number(f"logit_bias[{token_id}]", bias, -_MAX_BIAS, _MAX_BIAS)


def _openai_bias(bias: Any) -> Any:
    """Keys as numbers and values within OpenAI's bounds; what is neither is left to the check."""
    if not isinstance(bias, dict):
        return bias
    return {_openai_key(key): _openai_value(value) for key, value in bias.items()}


def _openai_key(key: Any) -> Any:
    is_number = isinstance(key, str) and key.isascii() and key.isdigit() and len(key) <= 10
    return int(key) if is_number else key


def _openai_value(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(100.0, max(-100.0, value)) if is_number and value == value else value


_FLAGS = (
    "ignore_eos",
    "detokenize",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "include_stop_str_in_output",
    "skip_clone",
)
_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(SamplingParams)
}
