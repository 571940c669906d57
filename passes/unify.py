"""Finds the one weight program, over the index ``i``, that gives the programs of all members."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..errors import UnsupportedModelError
from ..ir.types import Dim
from ..ir.weights import Step


def unify_programs(members: Sequence[Step]) -> Step:
    """A program whose member ``i`` is ``members[i]``.

    Raises UnsupportedModelError when names do not count up evenly or the programs differ.
    """
    first = members[0]
    if first.op == "checkpoint":
        name = _unify_names([str(member.arguments[0]) for member in members])
        return replace(first, arguments=(name,))
    if any((m.op, m.arguments, len(m.inputs)) != _shape(first) for m in members):
        raise UnsupportedModelError(f"weights of equal layers are made differently: {members[:2]}")
    columns = zip(*(member.inputs for member in members), strict=True)
    return replace(first, inputs=tuple(unify_programs(column) for column in columns))


def _shape(step: Step) -> tuple[object, ...]:
    return step.op, step.arguments, len(step.inputs)


def _unify_names(names: Sequence[str]) -> str:
    """``h.{2*i+1}.w`` for ``h.1.w``, ``h.3.w``, ..."""
    if len(set(names)) == 1:
        return names[0]
    parts = [re.split(r"(\d+)", name) for name in names]
    if len({len(part) for part in parts}) != 1:
        raise UnsupportedModelError(f"weights of equal layers are named differently: {names[:2]}")
    return "".join(_unify_parts(column, names) for column in zip(*parts, strict=True))


def _unify_parts(column: Sequence[str], names: Sequence[str]) -> str:
    if len(set(column)) == 1:
        return column[0]
    if not all(part.isdigit() for part in column):
        raise UnsupportedModelError(f"weights of equal layers are named differently: {names[:2]}")
    numbers = [int(part) for part in column]
    step = numbers[1] - numbers[0]
    even = [numbers[0] + step * i for i in range(len(numbers))]
    if numbers != even:
        raise UnsupportedModelError(f"weights of equal layers do not count evenly: {names[:3]}")
    return "{" + str(Dim.of("i") * step + numbers[0]) + "}"
