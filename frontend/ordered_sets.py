"""Sets in the code of transformers' models that keep their order, so that every trace is the same.

Models with layers of two kinds compute something for each name in a set of these, and the order of
a set of names is another in every process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, MutableSet
from contextlib import contextmanager
from typing import Any


class OrderedSet(MutableSet[Any]):
    """A set that is walked in the order in which its elements came."""

    def __init__(self, elements: Iterable[Any] = ()) -> None:
        self._elements = dict.fromkeys(elements)

    def __contains__(self, element: object) -> bool:
        return element in self._elements

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements)

    def __len__(self) -> int:
        return len(self._elements)

    def add(self, value: Any) -> None:
        """It comes last, if it is new."""
        self._elements[value] = None

    def discard(self, value: Any) -> None:
        """Nothing, if it is not there."""
        self._elements.pop(value, None)


@contextmanager
def ordered_sets(model: Any) -> Iterator[None]:
    """Within it `set` is ordered in the files that the parts of a model are from."""
    files = {type(part).__module__ for part in model.modules()}
    names = [name for name in sorted(files) if name.startswith("transformers.models.")]
    patched = [sys.modules[name] for name in names if "set" not in vars(sys.modules[name])]
    for module in patched:
        vars(module)["set"] = OrderedSet
    try:
        yield
    finally:
        for module in patched:
            del vars(module)["set"]
