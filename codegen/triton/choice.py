"""The configuration of a region's kernels: which was chosen, by what, and why none of the others.

A problem is all that a choice depends on. Its rule was made from measurements; a configuration that
is asked for, as a tuning table does, goes before the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from ...artifact.tuning_table import Configuration
from ...errors import BuildError
from .targets import GpuTarget


class HasKind(Protocol):
    """A configuration: a dataclass of whole numbers. Some problems have several kinds of them."""

    kind: ClassVar[str]


C = TypeVar("C", bound=HasKind)


@dataclass(frozen=True)
class Ruled(Generic[C]):
    """What a rule takes, the rule's name, and the others that it knows, with why it took none.

    ``kinds``: of which it has no other, and why.
    """

    chosen: C
    rule: str
    others: Mapping[C, str]
    kinds: Mapping[str, str] = field(default_factory=dict)


class Problem(Protocol[C]):
    """What a configuration is chosen for."""

    def ruled(self) -> Ruled[C]:
        """What the rule takes."""

    def read(self, configuration: Configuration) -> C:
        """The configuration of those fields. Raises msgspec.ValidationError."""

    def refusal(self, configuration: C) -> str | None:
        """Why the kernels cannot have it; None if they can."""

    def candidates(self, target: GpuTarget) -> Iterator[C]:
        """What may be faster on some device of the target, and fits it; not only legal ones."""


@dataclass(frozen=True)
class Choice(Generic[C]):
    """A problem and its outcome. ``rule`` is None for what was asked for."""

    problem: Problem[C]
    chosen: C
    rule: str | None
    others: Mapping[C, str]
    kinds: Mapping[str, str]


def choose(problem: Problem[C], asked: Configuration | None = None) -> Choice[C]:
    """What is asked for, else what the rule takes. Raises BuildError for what is not legal."""
    ruled = problem.ruled()
    if asked is None:
        return Choice(problem, ruled.chosen, ruled.rule, ruled.others, ruled.kinds)
    chosen = _legal(problem, asked)
    others = dict(ruled.others) | {ruled.chosen: f"the rule takes it: {ruled.rule}"}
    others.pop(chosen, None)
    kinds = {kind: why for kind, why in ruled.kinds.items() if kind != chosen.kind}
    return Choice(problem, chosen, None, others, kinds)


def legal_candidates(problem: Problem[C], target: GpuTarget) -> list[C]:
    """What may be tried in the place of what the rule takes, each once."""
    found = dict.fromkeys(problem.candidates(target))
    return [one for one in found if one != problem.ruled().chosen and not problem.refusal(one)]


def fields_of(configuration: Any) -> Configuration:
    """A configuration as tables and records hold it."""
    return asdict(configuration)


def read_fields(kind: type[C], configuration: Configuration) -> C:
    """The configuration of those fields. Raises msgspec.ValidationError."""
    return msgspec.convert(configuration, kind)


def _legal(problem: Problem[C], asked: Configuration) -> C:
    try:
        chosen = problem.read(asked)
        reason = problem.refusal(chosen)
    except msgspec.ValidationError as error:
        reason = str(error)
    if reason is not None:
        raise BuildError(
            f"{problem} cannot have the configuration {asked}: {reason}; take it out of the table"
        )
    return chosen
