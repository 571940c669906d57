"""What the scheduler is told and what it answers: plain records."""

from typing import Literal

import msgspec

from .frame import I32, Frame, Sampling, StepResult

FinishReason = Literal[
    "stop", "length", "abort", "timeout", "numeric_error", "text_error", "grammar_error"
]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One sequence to complete, checked against every bound before it is made."""

    request_id: str
    prompt_token_ids: I32
    max_tokens: int  # of output
    sampling: Sampling = Sampling()
    stop_token_ids: tuple[int, ...] = ()  # any of these ends it, end-of-sequence ids among them
    min_tokens: int = 0  # of output before a stop token counts
    watched: bool = False  # its owner wants to see each token as it comes
    masked: bool = False  # each token waits for a mask of its own
    grammar: str | None = None  # whose masks they are, in one of llguidance's notations
    allowed: I32 | None = None  # what its masks must lie in; one itself
    priority: int = 0  # lower goes first
    tenant: str = ""  # who shares fairly with the others of its priority
    cache_salt: bytes | None = b""  # sequences share pages only under one salt; None: with nobody
    reads_cache: bool = True  # False computes the whole prompt
    deadline_s: float | None = None  # in the caller's seconds


class Arrive(msgspec.Struct, frozen=True):
    """A new request."""

    request: Request


class Cancel(msgspec.Struct, frozen=True):
    """Ends a request early; one that has already ended, or never was, is passed over."""

    request_id: str
    finish_reason: FinishReason
    num_tokens: int | None = None  # of output to keep; None keeps all


class Mask(msgspec.Struct, frozen=True):
    """The tokens that a masked request may choose from next; see `Sampling.mask`."""

    request_id: str
    num_tokens: int  # of output that it follows: one for another length is passed over
    mask: I32


class StepsLost(msgspec.Struct, frozen=True):
    """The executor lost its memory: no step in flight will report, and the cache is empty."""


Event = Arrive | Cancel | Mask | StepResult | StepsLost


class Times(msgspec.Struct, frozen=True):
    """When a request came, had its first token, and ended, in the caller's seconds."""

    arrived_s: float
    first_token_s: float | None
    finished_s: float


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """The end of a request; every request has exactly one."""

    request_id: str
    token_ids: list[int]  # the output, a stop token included
    finish_reason: FinishReason
    stop_token_id: int | None
    times: Times
    num_cached_tokens: int  # of the prompt, whose keys and values were in the cache


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """Rows of the reported step's results that belong to a watched request that goes on or ends.

    Rows of the prompt (`is_prompt`) give the logprobs of known tokens; the other is a new token.
    """

    request_id: str
    first_row: int
    num_rows: int
    is_prompt: bool


class StepPlan(msgspec.Struct, frozen=True):
    """What to run next; `frame` is None when there is nothing to run now."""

    frame: Frame | None
    progress: tuple[Progress, ...]  # of the step that was reported with this call
    finished: tuple[Finished, ...]  # since the last plan


class StepReport(msgspec.Struct, frozen=True):
    """What a step that has reported gave, for those who watch, and who has ended since."""

    progress: tuple[Progress, ...]
    finished: tuple[Finished, ...]
    result: StepResult | None  # of which the rows of `progress` are; None if no step reported
