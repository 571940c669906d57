"""Prints loops over the elements of a value: rows outside, sixteen columns at a time inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...ir.types import Dim
from .elements import Elements, Indices
from .indices import ZERO, Index, NotVector, Straddle

MAX_PIECES = 12

Body = Callable[[Indices], None]
"""Prints what happens to the element, or the sixteen elements, at the indices."""


def element_loops(elements: Elements, leading: Indices, inner: Sequence[Dim], body: Body) -> None:
    """Loops over the axes ``inner`` after the fixed indices ``leading``; the last is columns."""
    if not inner:
        elements.new_scope()
        elements.lanes = "lanes_t<1>()"
        elements.out.open("{")
        body(leading)
        elements.out.close()
        elements.lanes = "n"
        elements.new_scope()
    elif len(inner) == 1:
        _columns(elements, leading, int(inner[0]), body)
    else:
        size, name = int(inner[0]), f"i{len(leading)}"
        if size == 1:
            element_loops(elements, (*leading, ZERO), inner[1:], body)
            return
        elements.out.open(f"for (i64 {name} = 0; {name} < {size}; {name}++) {{")
        element_loops(elements, (*leading, Index(name, 0, size)), inner[1:], body)
        elements.out.close()


def _columns(elements: Elements, leading: Indices, size: int, body: Body) -> None:
    """Cut the columns where some operand's place jumps; single columns when there is no end."""
    mark, count = len(elements.out.lines), elements.count
    cuts = [0, size]
    while len(cuts) <= MAX_PIECES:
        try:
            for low, high in zip(cuts[:-1], cuts[1:], strict=True):
                _piece(elements, leading, low, high, body, vector=True)
            return
        except Straddle as straddle:
            if straddle.column in cuts:
                break
            cuts = sorted({*cuts, straddle.column})
        except NotVector:
            break
        finally:
            elements.new_scope()
        _rewind(elements, mark, count)
    _rewind(elements, mark, count)
    _piece(elements, leading, 0, size, body, vector=False)
    elements.new_scope()


def _rewind(elements: Elements, mark: int, count: int) -> None:
    """Forget the lines of a loop that has to be cut."""
    opened = elements.out.lines[mark:]
    del elements.out.lines[mark:]
    elements.out.depth -= sum(line.endswith("{") for line in opened)
    elements.out.depth += sum(line.lstrip().startswith("}") for line in opened)
    elements.count = count


def _piece(
    elements: Elements, leading: Indices, low: int, high: int, body: Body, vector: bool
) -> None:
    loop = "columns" if vector else "single_columns"
    elements.new_scope()
    elements.out.open(f"{loop}<{low}, {high}>([&](i64 c, auto n) {{")
    body((*leading, Index("c", low, high, vector)))
    elements.out.close("});")
