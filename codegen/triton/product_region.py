"""A region of products as its kernels see it: who its operands are, and what follows the sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...ir.graph import Function, Node, Value
from ...ir.ops import Kind, record_of
from ...ir.types import Dim
from ..reshape import number
from .elements import Elements, Given, Indices, name_of
from .indices import Index, linear_index, masks_of
from .kernel import Box, Kernel, Operand, RegionKernels, grid_of, params, pointer_type
from .squares import scaling_of, summing_of

VIEWS = ("reshape", "norm_by_squares")
"""What leaves x where it is: a norm whose squares are there scales the sums."""

_PLAIN = ("linear", "constant", "reshape", "broadcast", "norm_by_squares", "sum_squares")
_SHARED = ("w_sums", "w_tickets")


@dataclass(frozen=True)
class ProductRegion:
    """Products of ``function``, that add up the squares of ``norm`` beside their sums."""

    function: Function
    norm: Node | None

    @cached_property
    def linears(self) -> list[Node]:
        """The products, all of the same x."""
        return [node for node in self.function.nodes if node.op == "linear"]

    @cached_property
    def x(self) -> Value:
        """What the products read."""
        return self.linears[0].operands[0]

    @cached_property
    def result(self) -> Value:
        """What the region gives, beside squares."""
        return self.function.results[0]

    @cached_property
    def scaling(self) -> Node | None:
        """The norm whose squares are a parameter."""
        return scaling_of(self.function)

    @cached_property
    def summing(self) -> Node | None:
        """What makes the squares of the result, if the region gives them."""
        return summing_of(self.function)

    @property
    def k(self) -> int:
        """Columns of x."""
        return int(self.x.shape[-1])

    @property
    def n(self) -> int:
        """Columns of the result."""
        return int(self.result.shape[-1])

    @cached_property
    def rows(self) -> Dim:
        """Rows of the result: all of its leading axes."""
        rows = Dim(1)
        for dim in self.result.shape[:-1]:
            rows = rows * dim
        return rows

    @cached_property
    def source(self) -> Value:
        """The parameter whose memory holds x, or what the norm is of."""
        if self.norm:
            return self.norm.operands[0]
        x, producers = self.x, self.function.producers()
        while x in producers:
            node = producers[x]
            assert node.op in VIEWS, f"{node.op} before a product"
            x = node.operands[0]
        return x

    @property
    def names(self) -> tuple[str, ...]:
        """Of the kernel's parameters, but for workspaces and scalars."""
        params = [f"p_{name_of(value)}" for value in self.function.params]
        return (*params, *(f"o_{name_of(value)}" for value in self.function.results))

    @property
    def names_read(self) -> tuple[str, list[str]]:
        """Of the parameters that hold x and the weights."""
        weights = [f"p_{name_of(node.operands[1])}" for node in self.linears]
        return f"p_{name_of(self.source)}", weights

    def reads_by_products_alone(self) -> bool:
        """Whether nothing else reads x or the weights, by pointers."""
        weights, names_of_x = {node.operands[1] for node in self.linears}, {self.source, self.x}
        for node in self.function.nodes:
            if node in self.linears:
                others = set(node.operands[2:])
            elif node is self.norm:
                others = set(node.operands[1:])
            elif node.op in VIEWS and node.operands[0] in names_of_x:
                names_of_x.add(node.result)
                others = set(node.operands[1:])
            else:
                others = set(node.operands)
            if others & (names_of_x | weights):
                return False
        return True

    def is_of_single_elements(self) -> bool:
        """Whether an element of the result takes the products' elements at its place alone."""
        others = [node.op for node in self.function.nodes if node is not self.norm]
        return all(op in _PLAIN or record_of(op).kind is Kind.ELEMENTWISE for op in others)

    def boxes(self, rows: int, columns: int, depth: int) -> tuple[Box, ...]:
        """How x and the weights are read where it is not by pointers."""
        weights = {node.operands[1] for node in self.linears}
        return tuple(
            Box(place, self.k, rows if value == self.source else columns, depth)
            for place, value in enumerate(self.function.params)
            if value == self.source or value in weights
        )

    def computed(self, rank: int, places: Indices) -> tuple[Elements, str]:
        """Lines that compute the result from ``sums<i>``, and of a norm ``scale``; and the variable
        that holds it."""
        elements = Elements(self.function, rank)
        for place, node in enumerate(self.linears):
            elements.given[node.result] = self._sums(elements, node, place)
        return elements, elements.at(self.result, places)

    def stored(self, rank: int, places: tuple[Index, Index]) -> Elements:
        """Lines that compute the result, and store it."""
        elements, variable = self.computed(rank, places)
        at = linear_index(places, [number(self.rows), number(self.result.shape[-1])])
        mask = " & ".join(masks_of(places))
        alone = f" + {places[1].text}" if self.n == 1 else ""  # as wide as the tile
        target = f"o_{name_of(self.result)} + {at.text}{alone}"
        elements.lines.append(f"tl.store({target}, {variable}{mask and ', mask=' + mask})")
        return elements

    def signature(self, is_shared: bool, has_rows: bool) -> str:
        """The kernel's parameters."""
        shared = _SHARED if is_shared else ()
        return ", ".join((*self.names, *shared, *(("num_rows",) if has_rows else ())))

    def kernel(self, body: str, is_shared: bool, has_rows: bool) -> Kernel:
        """A kernel of that signature, on a grid of one block."""
        results = [Operand("result", place) for place in range(len(self.function.results))]
        workspaces = [Operand("workspace", place) for place in range(2 * is_shared)]
        types = [pointer_type(value) for value in (*self.function.params, *self.function.results)]
        return Kernel(
            "",
            body,
            (*params(*range(len(self.function.params))), *results, *workspaces),
            (*types, *(("*fp32", "*i32") if is_shared else ())),
            (self.rows,) if has_rows else (),
            grid_of(1),
        )

    def _sums(self, elements: Elements, node: Node, place: int) -> Given:
        is_scaled = self.norm or self.scaling

        def given(indices: Indices) -> str:
            sums = f"sums{place} * scale" if is_scaled else f"sums{place}"
            if len(node.operands) < 3:
                return sums
            return f"{sums} + {elements.at(node.operands[2], indices[-1:])}"

        return given


def with_workspaces(kernel: Kernel, counts: tuple[int, ...]) -> RegionKernels:
    """The kernel alone, with workspaces of so many sums and tickets, if it has any."""
    sizes = tuple(Dim(count * 4) for count in counts)
    return RegionKernels((kernel,), sizes, frozenset({1} if counts else ()))
