"""Prints the scalar expressions of elementwise op records as Triton over tiles of floats."""

from __future__ import annotations

from ..scalars import ScalarPrinter

_NAMES = {
    "max": "tl.maximum",
    "min": "tl.minimum",
    "rsqrt": "tl.rsqrt",
    "tanh": "_tanh",
    "pow": "_pow",
}

HELPERS = {
    "_tanh": '''@triton.jit
def _tanh(x):
    """1 - 2 / (exp(2x) + 1): exact at both ends."""
    return 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)
''',
    "_pow": '''@triton.jit
def _pow(x, y):
    """x to the power y for positive x."""
    return tl.exp2(tl.log2(x) * y)
''',
}
"""Functions that Triton lacks on both of its back ends."""

BEGINNING = '''@triton.jit
def _await_inputs():
    """Waits for what the launches before have written."""
    tl.extra.cuda.gdc_wait()


@triton.jit
def _let_next_begin():
    """Lets the next launch begin as soon as all blocks have come here; else it is when they end."""
    tl.extra.cuda.gdc_launch_dependents()

'''
"""How a kernel begins while the launch before still runs: it may read weights alone until it has
waited."""

BEGINNING_IN_TURN = '''@triton.jit
def _await_inputs():
    """Launches run one after another: there is nothing to wait for."""
    pass


@triton.jit
def _let_next_begin():
    """Launches run one after another."""
    pass

'''
"""The same for targets that run launches in turn, and for Triton's interpreter."""

BOX = '''@triton.jit
def _box(source, row, column, num_rows, width: tl.constexpr, rows: tl.constexpr,
         columns: tl.constexpr):
    """A box of a matrix, copied by the tensor unit: zeros beyond the ends of its map."""
    return source.load([row, column])
'''
"""How a kernel reads a part of a matrix. Rows from ``num_rows`` on may be anything, even NaN."""

BOX_BY_POINTERS = '''@triton.jit
def _box(source, row, column, num_rows, width: tl.constexpr, rows: tl.constexpr,
         columns: tl.constexpr):
    """A box of a matrix; zeros beyond its ends."""
    i = row + tl.arange(0, rows)[:, None]
    j = column + tl.arange(0, columns)[None, :]
    inside = i < num_rows
    if width % columns != 0:
        inside = inside & (j < width)
    return tl.load(source + i.to(tl.int64) * width + j, mask=inside, other=0.0)
'''
"""The same for targets that have no tensor maps, and for Triton's interpreter."""


def triton_number(value: float) -> str:
    """A float literal."""
    if value != value or value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(float(value))


TRITON_SCALARS = ScalarPrinter(triton_number, lambda name: _NAMES.get(name, f"tl.{name}"))
