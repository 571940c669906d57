"""The reference without a checkpoint: the interpreter on the artifact's module and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..ir.cache import TokenCache
from ..ir.interpret import Interpreter
from .cache import CachePages
from .exact import Exact, widened
from .kernels import Progress
from .logits import Reference
from .sequences import PackedSteps, Sequence
from .subject import Subject


def interpreted(
    subject: Subject, steps: PackedSteps, prompts: list[list[int]], progress: Progress
) -> Reference:
    """Logits of every token of the prompts; weights are taken as a layer needs them."""
    counts = [len(prompt) for prompt in prompts]
    frame = steps.frame([Sequence(prompt) for prompt in prompts], counts)
    subject.settle()
    subject.executor.send(frame)
    arguments = [
        TokenCache() if isinstance(value, CachePages) else value
        for value in subject.arguments("step", frame)
    ]

    def run(kind: type[Interpreter], weights: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        progress("reference", 0 if kind is Exact else 1, 2)
        given = [TokenCache() if isinstance(value, TokenCache) else value for value in arguments]
        with subject.reference():
            found = kind(subject.module, weights, subject.symbols(frame)).run("step", given)[0]
        return list(found.float().cpu().split(counts))

    return Reference(run(Exact, _Wide(subject.weights)), run(Interpreter, subject.weights))


class _Wide(Mapping[str, torch.Tensor]):
    """Weights in 32 bits, each made as it is asked for."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Any:
        return widened(self._weights[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
