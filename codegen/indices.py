"""Indices of tensor elements as text, whatever the language: what both emitters have alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

I = TypeVar("I", bound="Index")  # noqa: E741


@dataclass(frozen=True)
class Index:
    """Text of an index whose value lies in [low, high)."""

    text: str
    low: int = 0
    high: int | None = None

    def plus(self, amount: int) -> Self:
        """The index ``amount`` further on."""
        if not amount:
            return self
        sign = "+" if amount > 0 else "-"
        high = None if self.high is None else self.high + amount
        text = f"({self.text} {sign} {abs(amount)})"
        return replace(self, text=text, low=self.low + amount, high=high)

    def times(self, factor: int) -> Self:
        """The index times a constant."""
        if factor == 1:
            return self
        high = None if self.high is None else (self.high - 1) * factor + 1
        return replace(self, text=f"{self.text} * {factor}", low=self.low * factor, high=high)

    def piece(self, bounds: Sequence[int]) -> int | None:
        """The number of the piece between ``bounds`` that holds the index; None: known when run."""
        for number, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            if self.low >= low and self.high is not None and self.high <= high:
                return number
        return None


def linear_terms(indices: Sequence[I], sizes: Sequence[int]) -> list[I]:
    """What adds up to the place of an element in row-major order, leading axes first."""
    terms, stride = [], 1
    for index, size in zip(reversed(indices), reversed(sizes), strict=True):
        if size != 1:
            terms.append(index.times(stride))
        stride *= size
    return terms[::-1]


def summed(terms: Sequence[I]) -> I:
    """The sum of two terms or more, otherwise like the first."""
    high = None
    if all(term.high is not None for term in terms):
        high = sum((term.high or 0) - 1 for term in terms) + 1
    text = f"({' + '.join(term.text for term in terms)})"
    return replace(terms[0], text=text, low=sum(term.low for term in terms), high=high)


def divided(place: I, size: int, zero: I, operators: tuple[str, str]) -> tuple[I, I]:
    """Quotient and remainder, by operators that round down places from zero on."""
    if size == 1:
        return place, zero
    if place.high is not None and place.low // size == (place.high - 1) // size:
        whole = place.low // size
        return replace(zero, text=str(whole), low=whole, high=whole + 1), place.plus(-whole * size)
    high = None if place.high is None else (place.high - 1) // size + 1
    by, rest = operators
    return (
        replace(place, text=f"({place.text} {by} {size})", low=0, high=high),
        replace(place, text=f"({place.text} {rest} {size})", low=0, high=size),
    )
