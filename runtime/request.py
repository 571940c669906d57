"""What the scheduler is told and what it answers: plain records."""

from typing import Literal

import msgspec

from ..kvcache.group_table import Slots
from .frame import I32, Frame, SamplingFrame

FinishReason = Literal["stop", "length", "abort", "numeric_error"]


class Request(msgspec.Struct, frozen=True):
    """One sequence to complete, checked against every bound before it is made."""

    request_id: str
    prompt_token_ids: I32
    max_tokens: int  # of output
    temperature: float
    seed: int  # in 64 signed bits
    stop_token_ids: tuple[int, ...] = ()  # any of these ends it, end-of-sequence ids among them
    watched: bool = False  # its owner wants to see each token as it comes


class Arrive(msgspec.Struct, frozen=True):
    """A new request."""

    request: Request


class Cancel(msgspec.Struct, frozen=True):
    """Ends a request early; one that has already ended, or never was, is passed over."""

    request_id: str
    finish_reason: FinishReason


class Sampled(msgspec.Struct, frozen=True):
    """The previous plan's step is done and gave these tokens; a negative one: not a number."""

    token_ids: I32  # [R], in the order of that plan's rows of logits


Event = Arrive | Cancel | Sampled


class Times(msgspec.Struct, frozen=True):
    """When a request came, had its first token, and ended, in the caller's seconds."""

    arrived_s: float
    first_token_s: float | None
    finished_s: float


class Finished(msgspec.Struct, frozen=True):
    """The end of a request; every request has exactly one."""

    request_id: str
    token_ids: list[int]  # the output, a stop token included
    finish_reason: FinishReason
    stop_token_id: int | None
    times: Times


class StepPlan(msgspec.Struct, frozen=True):
    """What to run next; `frame` is None when there is nothing to run."""

    frame: Frame | None
    sampling: SamplingFrame | None
    sampled_slots: Slots  # [R], whose next token each row of logits gives
    watched: tuple[tuple[int, str], ...]  # (row, request_id) of the watched among them
    finished: tuple[Finished, ...]  # since the last plan
