"""Holds one output to a grammar: the mask for each next token, or the end that the grammar gives.

A mask leaves out what the request bans anyway, so that a choice among no tokens is seen here and
never reaches the device.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ..frame import I32
from ..request import Cancel, Mask, Request
from .base import Grammar, GrammarError, GrammarState

_log = logging.getLogger(__name__)


class _Ban(NamedTuple):
    """An edit of the request's that forbids a token."""

    token_id: int
    end: int = 2**31 - 1  # the position from which it is allowed
    prefix: tuple[int, ...] = ()  # the tokens behind which it is forbidden

    def holds_behind(self, token_ids: list[int]) -> bool:
        first = len(token_ids) - len(self.prefix)
        return self.end > len(token_ids) and tuple(token_ids[first:]) == self.prefix


class Constraint:
    """The grammar's state behind the tokens that an output has so far."""

    def __init__(self, state: GrammarState, request: Request, eos_token_ids: Sequence[int]) -> None:
        """Of `eos_token_ids` those that do not stop the request are never chosen."""
        self._state, self._request_id = state, request.request_id
        self._token_ids: list[int] = request.prompt_token_ids.tolist()
        self._num_prompt = len(self._token_ids)
        self._allowed = request.allowed
        self._bans = _bans(request, eos_token_ids)

    def mask(self) -> I32 | None:
        """The tokens that may come next; None if there is none. Raises GrammarError."""
        mask = self._state.allowed()
        if self._allowed is not None:
            mask &= self._allowed
        words = mask.view(np.uint32)
        for ban in self._bans:
            if ban.holds_behind(self._token_ids):
                words[ban.token_id // 32] &= ~np.uint32(1 << ban.token_id % 32)
        return mask if mask.any() else None

    def first(self) -> Mask | Cancel:
        """What an output may begin with, or that there is nothing."""
        return self._next(None)

    def push(self, token_id: int) -> Mask | Cancel:
        """Takes the token that came; says what may follow it, or that nothing may."""
        return self._next(token_id)

    def _next(self, token_id: int | None) -> Mask | Cancel:
        try:
            if token_id is not None:
                self._state.advance(token_id)
                self._token_ids.append(token_id)
            mask = self.mask()
            is_complete = self._state.is_complete
        except Exception as error:
            _log.warning("an output ends early, for its grammar cannot be followed: %r", error)
            return Cancel(self._request_id, "grammar_error")
        if mask is not None:
            return Mask(self._request_id, len(self._token_ids) - self._num_prompt, mask)
        return Cancel(self._request_id, "stop" if is_complete else "grammar_error")


def check_beginning(grammar: Grammar, request: Request, eos_token_ids: Sequence[int]) -> None:
    """Raises InputError where nothing can be chosen from the start."""
    try:
        mask = Constraint(grammar.start(), request, eos_token_ids).mask()
    except GrammarError as error:
        raise InputError(f"structured_outputs asks for too much: {error}") from None
    if mask is None:
        raise InputError(
            "structured_outputs leaves no token to begin with; ask for another text, or ban less "
            "by allowed_token_ids, bad_words and min_tokens"
        )


def _bans(request: Request, eos_token_ids: Sequence[int]) -> list[_Ban]:
    bans = [_Ban(token_id) for token_id in eos_token_ids if token_id not in request.stop_token_ids]
    edits = request.sampling.edits
    if edits is None:
        return bans
    starts = edits.prefix_starts.tolist()
    for i in np.flatnonzero(np.isneginf(edits.values)).tolist():
        prefix = tuple(edits.prefix_tokens[starts[i] : starts[i + 1]].tolist())
        bans.append(_Ban(int(edits.token_ids[i]), int(edits.ends[i]), prefix))
    return bans
