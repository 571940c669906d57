"""Prints the kernel of products of many rows on Hopper, by blocks that stay.

A block takes tile after tile. One warp of it has the tensor unit copy the steps of all its tiles
into a ring of slots; three warpgroups compute 64 rows each. So the first steps of a tile are on
their way while the tile before is finished. A warpgroup that a tile has no rows for passes by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import indent

from ...ir.types import DType
from . import persistent_text as text
from .elements import in_gluon
from .persistent_tiles import COLUMNS, DEPTH, PART, SLOTS, WARPGROUPS
from .streams import FLOATS

PIECE = 64  # columns that are finished at a time: what is live beside sums stays in registers


@dataclass(frozen=True)
class Weight:
    """A parameter that holds a weight, and where the rows of a tile begin in it."""

    name: str
    row: str = "column"


@dataclass(frozen=True)
class PersistentBody:
    """A kernel that multiplies rows of x, ``k`` long, by ``weights``, and stores ``n`` columns.

    ``told`` is the parameter that says which tiles there are, to the functions of ``places``;
    ``others`` are what the computing warpgroups read and write by pointers. ``epilogue`` are the
    lines that leave ``result`` from ``sums0``, ``sums1`` of [64, 64] floats at ``m``, ``n``.
    """

    signature: str
    dtype: DType
    n: int
    k: int
    x: str
    weights: Sequence[Weight]
    told: str
    places: str
    others: str
    epilogue: Sequence[str]
    result: str
    target: str
    scale: str = ""  # lines that leave ``scale`` of the rows

    def text(self) -> str:
        """The body of the kernel."""
        values = {
            "float": FLOATS[self.dtype],
            "n": self.n,
            "k": self.k,
            "depth": DEPTH,
            "slots": SLOTS,
            "warpgroups": WARPGROUPS,
            "part": PART,
            "columns": COLUMNS,
            "each": self.columns_of_each,
            "piece": PIECE,
            "signature": self.signature,
            "x": self.x,
            "weights": ", ".join(dict.fromkeys(weight.name for weight in self.weights)),
            "told": self.told,
            "places": self.places,
            "others": self.others,
            "copies": "\n".join(
                text.COPY.format(weight=weight.name, row=weight.row, place=place)
                for place, weight in enumerate(self.weights)
            ),
            "scale": self.scale,
            "pieces": indent("\n".join(self._pieces()), " " * 12),
            "given": ", ".join(self._given_names()),
            "epilogue": indent("\n".join(in_gluon((*self.epilogue, self._store()))), " " * 4),
            "computing": "".join(
                text.COMPUTING.format(others=self.others, told=self.told, part=part)
                for part in range(WARPGROUPS)
            ),
        }
        parts = (text.CONSTANTS, text.FUNCTIONS, text.KERNEL)
        return "".join(part.format(**values) for part in parts)

    @property
    def columns_of_each(self) -> int:
        """Of a tile, of each weight."""
        return COLUMNS // len(self.weights)

    def _given_names(self, piece: str = "") -> Iterator[str]:
        """What a piece of the result is finished from, besides pointers."""
        for place in range(len(self.weights)):
            yield f"sums{place}{piece}"
        if self.scale:
            yield "scale"

    def _pieces(self) -> Iterator[str]:
        """Cuts the sums of all weights by columns, and finishes piece after piece."""
        names, count = ["sums"], self.columns_of_each // PIECE
        while len(names) < count * len(self.weights):
            for name in names:
                yield f"{name}0, {name}1 = halves({name})"
            names = [f"{name}{half}" for name in names for half in (0, 1)]
        for place, name in enumerate(names):
            weight, piece = divmod(place, count)
            yield f"sums{weight}_{piece} = gl.convert_layout({name}, SUMS, assert_trivial=True)"
        for piece in range(count):
            given = ", ".join(self._given_names(f"_{piece}"))
            yield f"finish({given}, {self.others}, row, end, column + {piece * PIECE}, expert)"

    def _store(self) -> str:
        inside = " & (j < N)[None, :]" if self.n % self.columns_of_each else ""
        return text.STORE.format(result=self.result, target=self.target, inside=inside)
