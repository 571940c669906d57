"""Gathers what a verification finds, until it is written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING

from .certificate import Check, KernelError, LayerError, LogitsError, Status, Thresholds

if TYPE_CHECKING:
    from .walk import Compared

MAX_FAULTS = 50
"""That are named; the rest are counted."""


class Findings:
    """Checks in the order in which they were made, and the faults by name."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.logits: list[LogitsError] = []
        self.thresholds: Thresholds | None = None
        self._faults: dict[Hashable, str] = {}  # by what is wrong; each step may say it again
        self._num_said: Counter[Hashable] = Counter()
        self._num_compared: Counter[tuple[str, ...]] = Counter()
        self._of_kernels: dict[tuple[str, ...], Compared] = {}
        self._of_layers: dict[int | None, Compared] = {}

    @property
    def num_faults(self) -> int:
        """So far."""
        return len(self._faults)

    def fault(self, text: str) -> None:
        """Something is wrong; the text names it."""
        self._say(text, text)

    def check(self, name: str, status: Status, detail: str) -> None:
        """A check has ended."""
        self.checks.append(Check(name=name, status=status, detail=detail))

    def close(self, name: str, num_faults_before: int, detail: str) -> None:
        """A check has ended; it failed if there are more faults than before it."""
        failed = self.num_faults > num_faults_before
        self.check(name, "failed" if failed else "passed", detail)

    def note(self, compared: Compared) -> None:
        """A result of a region; one beyond its limit is a fault."""
        self._num_compared[compared.kernels] += 1
        for table, key in ((self._of_kernels, compared.kernels), (self._of_layers, compared.layer)):
            if key not in table or _share(compared) > _share(table[key]):  # type: ignore[index]
                table[key] = compared  # type: ignore[index]
        if not compared.error.passed:
            self._say((*compared[:4], compared.result), _describe(compared))

    def _say(self, key: Hashable, text: str) -> None:
        self._faults.setdefault(key, text)
        self._num_said[key] += 1

    def faults(self) -> list[str]:
        """The first of them, each once, with the first step that showed it."""
        said = [text + _again(self._num_said[key] - 1) for key, text in self._faults.items()]
        more = self.num_faults - MAX_FAULTS
        return said[:MAX_FAULTS] + ([f"and {more} more"] if more > 0 else [])

    def kernels(self) -> list[KernelError]:
        """Of all that were played, the worst first."""
        worst = sorted(self._of_kernels.values(), key=_share, reverse=True)
        return [
            KernelError(
                kernels=[*one.kernels],
                result=one.result,
                error=one.error.error,
                rounding=one.error.rounding,
                limit=one.error.limit,
                num_compared=self._num_compared[one.kernels],
            )
            for one in worst
        ]

    def layers(self) -> list[LayerError]:
        """In order, what is in none last."""
        order = sorted(self._of_layers, key=lambda layer: (layer is None, layer))
        return [
            LayerError(
                layer=layer,
                kernels=[*self._of_layers[layer].kernels],
                error=self._of_layers[layer].error.error,
                limit=self._of_layers[layer].error.limit,
            )
            for layer in order
        ]


def _share(compared: Compared) -> float:
    return compared.error.error / compared.error.limit


def _again(count: int) -> str:
    return f", and in {count} more step{'s' * (count > 1)}" if count else ""


def _describe(compared: Compared) -> str:
    first, count = compared.first_launch, len(compared.kernels)
    launches = f"launch {first}" if count == 1 else f"launches {first} to {first + count - 1}"
    layer = "" if compared.layer is None else f" of layer {compared.layer}"
    sizes = " ".join(f"{name}={compared.symbols[name]}" for name in "TSR")
    error = compared.error
    return (
        f"tape {compared.tape}, {launches} (kernel {', '.join(compared.kernels)}){layer}: "
        f"%{compared.result} is off by {error.error:.3g}, more than {error.limit:.3g}, at {sizes}"
    )
