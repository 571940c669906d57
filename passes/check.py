"""Compares a module before and after a pass with the interpreter, on random inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..ir.cache import TokenCache
from ..ir.graph import Module, Value
from ..ir.interpret import Interpreter
from ..ir.ops.dtypes import to_torch
from ..ir.types import DType
from ..ir.weights import Weight

LENGTHS = (5, 2)
"""Tokens of the packed sequences that are tried."""

SYMBOLS = {"T": sum(LENGTHS), "S": len(LENGTHS), "R": 3, "P": 2, "N": 2, "L": sum(LENGTHS)}

TOLERANCE = {DType.F32: 2e-5, DType.BF16: 6e-2, DType.F16: 1e-2}
"""Largest allowed ‖after - before‖ / ‖before‖ of the logits, by the model's dtype: a pass may
round less often than the model it was given, never more."""

Evaluate = Callable[[Mapping[str, Weight]], Mapping[str, torch.Tensor]]
"""Gives the tensors of weights, families by member."""


class PassChangedResults(AssertionError):
    """A pass gave a module that computes something else."""


@dataclass
class NumericCheck:
    """A `run.Check`. Holds the last result, so that each module is interpreted once."""

    evaluate: Evaluate
    seed: int = 0
    _last: tuple[Module, torch.Tensor] | None = None

    def __call__(self, before: Module, after: Module) -> None:
        """Raises PassChangedResults when the logits differ by more than TOLERANCE."""
        reference, found = self._logits(before), self._logits(after)
        self._last = (after, found)
        scale = reference.norm().clamp_min(1e-30)
        error = float((found - reference).norm() / scale)
        limit = TOLERANCE[_dtype(after)]
        if not error <= limit:
            raise PassChangedResults(f"logits moved by {error:.2e}, more than {limit:.0e}")

    def _logits(self, module: Module) -> torch.Tensor:
        if self._last and self._last[0] is module:
            return self._last[1]
        step = module.functions["step"]
        generator = torch.Generator().manual_seed(self.seed)
        arguments = [_argument(value, module, generator) for value in step.params]
        weights = self.evaluate(module.weights)
        result: torch.Tensor = Interpreter(module, weights, SYMBOLS).run("step", arguments)[0]
        return result.float().reshape(SYMBOLS["R"], -1)


def _dtype(module: Module) -> DType:
    """The narrowest float among the weights."""
    floats = [w.type.dtype for w in module.weights.values() if w.type.dtype.is_float]
    return min(floats, key=lambda dtype: dtype.itemsize, default=DType.F32)


def _argument(value: Value, module: Module, generator: torch.Generator) -> Any:
    """A valid value for a step input, by its name."""
    if value.dtype is DType.STATE:
        return TokenCache()
    shape = value.type.concrete(SYMBOLS)
    last = [sum(LENGTHS[: at + 1]) - 1 for at in range(len(LENGTHS))]
    known = {
        "positions": torch.cat([torch.arange(n) for n in LENGTHS]),
        "sequence_ids": torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS)),
        "logit_rows": torch.tensor([*last, 0]),
        "token_places": torch.arange(SYMBOLS["L"]),  # the table holds just the step's token ids
    }
    if value.name.startswith("block_table"):
        return torch.arange(1, 1 + shape[0] * shape[1], dtype=torch.int32).reshape(shape)
    if value.name in known:
        return known[value.name].to(to_torch(value.dtype)).reshape(shape)
    vocab_size = int(module.attrs["vocab_size"])
    return torch.randint(vocab_size, shape, generator=generator).to(to_torch(value.dtype))
