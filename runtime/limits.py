"""What a caller asks of a load, and what a step then holds at most: the defaults are here alone."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ..errors import InputError
from .checks import check_whole, told

DEFAULT_MEMORY_UTILIZATION = 0.9
_DEFAULT_LOGIT_ROWS = 64
MIN_MODEL_LEN = 2  # a token of prompt and one of output
MORE_CACHE = "raise kv_cache_bytes or gpu_memory_utilization"
_MAX_COUNT = 1 << 24
_COUNTS = {
    "max_model_len": (MIN_MODEL_LEN, _MAX_COUNT),
    "max_num_seqs": (1, _MAX_COUNT),
    "max_num_batched_tokens": (1, _MAX_COUNT),
    "max_logit_rows": (1, _MAX_COUNT),
    "kv_cache_bytes": (1, 1 << 50),
}
"""The least and the most that a limit can be."""


class _Defaults(NamedTuple):
    max_num_seqs: int
    max_num_batched_tokens: int


_ON_CPU = (_Defaults(64, 1024),)
_ON_GPU = (_Defaults(256, 8192), _Defaults(128, 4096), _Defaults(64, 2048), *_ON_CPU)
"""What is wanted where nothing is said, and what it yields to where memory is short."""


def default_of(name: str) -> str:
    """An option's default, in the words of a help text."""
    on_gpu, on_cpu = (getattr(of_kind[0], name) for of_kind in (_ON_GPU, _ON_CPU))
    return f"{on_gpu} on a GPU, less if its memory is short, {on_cpu} on a CPU"


class StepSize(NamedTuple):
    """The most tokens, sequences and rows of logits of a step."""

    num_tokens: int
    num_seqs: int
    num_rows: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks for; None leaves the choice to the plan.

    Raises InputError, naming the limit, for a value that cannot be used.
    """

    max_model_len: int | None = None  # None: the model's own, or what the cache holds if less
    max_num_seqs: int | None = None  # None: the default, or the tokens or rows of a step if fewer
    max_num_batched_tokens: int | None = None  # None: the default, or max_num_seqs if more
    max_logit_rows: int | None = None  # None: what generation needs, and some for prompts' logprobs
    kv_cache_bytes: int | None = None  # None: what the sequences can use; on a CPU at most 4 GiB
    gpu_memory_utilization: float = DEFAULT_MEMORY_UTILIZATION  # of the machine, all in all

    def __post_init__(self) -> None:
        for name, (least, most) in _COUNTS.items():
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), least, most)
        share = self.gpu_memory_utilization
        is_number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not is_number or not 0 < share <= 1:
            raise InputError(
                f"gpu_memory_utilization={told(share)} is not allowed; give a share above 0 and "
                "up to 1"
            )
        for name, what in (("max_num_batched_tokens", "token"), ("max_logit_rows", "row")):
            count = getattr(self, name)
            if self.max_num_seqs and count and count < self.max_num_seqs:
                raise InputError(
                    f"{name}={count} is below max_num_seqs={self.max_num_seqs}; each sequence "
                    f"needs a {what} in a step"
                )

    @classmethod
    def among(cls, options: Mapping[str, Any]) -> "Limits":
        """Those among options of `LLM`; what is None, or missing, is not given."""
        given = {name: options.get(name) for name in cls.__struct_fields__}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def step_sizes(self, on_device: bool) -> Iterator[StepSize]:
        """What is given, with each of the defaults for the rest: first those that are wanted."""
        for defaults in _ON_GPU if on_device else _ON_CPU:
            yield self._step_size(defaults)

    def _step_size(self, defaults: _Defaults) -> StepSize:
        given = [count for count in (self.max_num_batched_tokens, self.max_logit_rows) if count]
        num_seqs = self.max_num_seqs or min([defaults.max_num_seqs, *given])
        num_tokens = self.max_num_batched_tokens or max(defaults.max_num_batched_tokens, num_seqs)
        num_rows = self.max_logit_rows or min(max(_DEFAULT_LOGIT_ROWS, num_seqs), num_tokens)
        return StepSize(num_tokens, num_seqs, num_rows)
