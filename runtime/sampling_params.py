"""`SamplingParams`: how to continue a prompt, in vLLM's words.

Every field of vLLM's is known here. Those that the kernels do not honour yet are refused by name
when they are set, never passed over.
"""

import math
from typing import Any

import msgspec

from ..errors import InputError, shown

_MAX_TEMPERATURE = 1e6
_MAX_N = 1024
_MAX_STOP_STRINGS = 256
_MAX_STOP_CHARACTERS = 4096
_MAX_STOP_TOKENS = 4096
_GREEDY_BELOW = 1e-5

NOT_YET_HONOURED = (
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "top_p",
    "top_k",
    "min_p",
    "min_tokens",
    "bad_words",
    "logprobs",
    "prompt_logprobs",
    "flat_logprobs",
    "logits_processors",
    "truncate_prompt_tokens",
    "structured_outputs",
    "logit_bias",
    "allowed_token_ids",
    "extra_args",
)


class SamplingParams(msgspec.Struct, kw_only=True):
    """How many tokens to generate, how to choose each, and when to end.

    Raises InputError, naming the field and what it allows, for a value that cannot be used.
    """

    n: int = 1  # completions of each prompt
    temperature: float = 1.0  # 0 takes the most probable token
    seed: int | None = None  # None: one for each request, drawn from the seed of the LLM
    max_tokens: int | None = 16  # None: up to the end of the context
    ignore_eos: bool = False
    stop: str | list[str] | None = None  # the text ends before any of these
    stop_token_ids: list[int] | None = None  # as if they were end-of-sequence tokens
    include_stop_str_in_output: bool = False
    detokenize: bool = True  # False leaves `text` empty
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    output_kind: Any = None  # how a stream gives its outputs; every one here is cumulative
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    min_tokens: int = 0
    bad_words: list[str] | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    flat_logprobs: bool = False
    logits_processors: list[Any] | None = None
    truncate_prompt_tokens: int | None = None
    structured_outputs: Any = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    extra_args: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.check()

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def effective_temperature(self) -> float:
        """0 for a temperature so small that it means greedy."""
        return 0.0 if self.temperature < _GREEDY_BELOW else float(self.temperature)

    def check(self) -> None:
        """Raises InputError for a value that cannot be used; fields may have changed since."""
        _refuse_unhonoured(self)
        _whole("n", self.n, 1, _MAX_N)
        _number("temperature", self.temperature, 0.0, _MAX_TEMPERATURE)
        if self.seed is not None:
            _whole("seed", self.seed, -(2**63), 2**63 - 1)
        if self.max_tokens is not None:
            _whole("max_tokens", self.max_tokens, 1, 2**31 - 1)
        _check_stop_strings(self)
        _check_stop_tokens(self.stop_token_ids)
        if self.n > 1 and self.effective_temperature == 0.0:
            raise InputError(f"n={self.n} with temperature=0 gives the same text n times; set n=1")


def _refuse_unhonoured(params: SamplingParams) -> None:
    for name in NOT_YET_HONOURED:
        value, default = getattr(params, name), _DEFAULTS[name]
        means_off = value is None or value == [] or (name == "top_k" and value == -1)
        if not means_off and value != default:
            raise InputError(
                f"{name}={shown(value)} is not honoured by this version; leave it at {default}"
            )


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name}={shown(value)} is not allowed; give a whole number from {low} to {high}"
        )


def _number(name: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise InputError(
            f"{name}={shown(value)} is not allowed; give a number from {low:g} to {high:g}"
        )


def _check_stop_strings(params: SamplingParams) -> None:
    if not isinstance(params.stop, (str, list, tuple, type(None))):
        raise InputError(f"stop={shown(params.stop)} is not a string or a list of strings")
    texts = params.stop_strings
    if len(texts) > _MAX_STOP_STRINGS:
        raise InputError(f"stop has {len(texts)} strings; give at most {_MAX_STOP_STRINGS}")
    for text in texts:
        if not isinstance(text, str) or not 1 <= len(text) <= _MAX_STOP_CHARACTERS:
            raise InputError(
                f"stop={shown(text)} is not a string of 1 to {_MAX_STOP_CHARACTERS} characters"
            )
    if texts and not params.detokenize:
        raise InputError("stop needs the text: leave detokenize at True, or use stop_token_ids")


def _check_stop_tokens(token_ids: Any) -> None:
    if token_ids is None:
        return
    if not isinstance(token_ids, (list, tuple)) or len(token_ids) > _MAX_STOP_TOKENS:
        raise InputError(
            f"stop_token_ids={shown(token_ids)} is not a list of at most {_MAX_STOP_TOKENS} ids"
        )
    for token_id in token_ids:
        _whole("stop_token_ids", token_id, 0, 2**31 - 1)


_DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(SamplingParams)
}
