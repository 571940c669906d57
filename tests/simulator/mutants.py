"""Bugs to plant: each replaces one function of the scheduler or the cache by a wrong one.

A mutant that the simulator does not catch means that the simulator is too weak.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Function = Callable[..., Any]


class Mutant(NamedTuple):
    """A bug: what it does in one line, where such a one was seen, and how it is made."""

    name: str
    does: str
    seen: str
    owners: tuple[Any, ...]
    attribute: str
    make: Callable[[Function], Function]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there within this context."""
        originals = [owner.__dict__[self.attribute] for owner in self.owners]
        for owner, original in zip(self.owners, originals, strict=True):
            setattr(owner, self.attribute, self.make(original))
        try:
            yield
        finally:
            for owner, original in zip(self.owners, originals, strict=True):
                setattr(owner, self.attribute, original)


MUTANTS: dict[str, Mutant] = {}


def bug(
    attribute: str, *owners: Any, seen: str
) -> Callable[[Callable[[Function], Function]], Callable[[Function], Function]]:
    """Registers a function that makes the wrong version of `attribute` from the right one."""

    def register(make: Callable[[Function], Function]) -> Callable[[Function], Function]:
        does = " ".join((make.__doc__ or "").split())
        MUTANTS[make.__name__] = Mutant(make.__name__, does, seen, owners, attribute, make)
        return make

    return register
