"""Exports a model as a graph over a token-packed step, with torch.export."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import TapeoutError, UnsupportedModelError
from .import_fx import writes_are_plain
from .model import first_line, place_in_model
from .ordered_sets import ordered_sets

INPUTS = {"token_ids": "T", "positions": "T", "sequence_ids": "T", "logit_rows": "R"}
"""Declared inputs of a step, all i32, with the symbol of their length."""

_EXAMPLE_LENGTHS = {"T": 24, "R": 5}
_MAX_LENGTH = 1 << 20


class _Step(torch.nn.Module):
    """A causal language model as a function of a token-packed step."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        sequence_ids: torch.Tensor,
        logit_rows: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [R, V] of the tokens at logit_rows [R]; the other inputs are [T]."""
        found = self.model(
            input_ids=token_ids[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=logit_rows,
        )
        logits: torch.Tensor = found.logits
        return logits[0]


def export_step(model: Any) -> Any:
    """The exported program of a step of ``model``, any number of tokens and of logit rows.

    Raises UnsupportedModelError, naming the module, for whatever keeps it from being traced.
    """
    lengths = {s: torch.export.Dim(s, min=1, max=_MAX_LENGTH) for s in _EXAMPLE_LENGTHS}
    examples = {
        name: torch.zeros(_EXAMPLE_LENGTHS[s], dtype=torch.int32, device="meta")
        for name, s in INPUTS.items()
    }
    shapes = {name: {0: lengths[s]} for name, s in INPUTS.items()}
    try:
        with torch.no_grad(), _quiet(), ordered_sets(model):
            exported = torch.export.export(
                _Step(model), (), examples, dynamic_shapes=shapes, strict=False
            )
            plain = writes_are_plain(exported.graph)
            return exported if plain else exported.run_decompositions({})
    except TapeoutError:
        raise
    except Exception as error:  # whatever a model's Python raises while it is traced
        raise UnsupportedModelError(_reason(model, error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, nor torch's log of an error with its traceback: what is raised says it."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was_disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was_disabled


def _reason(model: Any, error: BaseException) -> str:
    """One line: the model class, the innermost frame of transformers' code, torch's message."""
    message = first_line(error)
    if message.startswith("Constraints violated"):
        message = "the number of tokens in a step cannot vary freely"
    place = place_in_model(error) or "forward"
    return f"{type(model).__name__}: {place} cannot be traced: {message}"
