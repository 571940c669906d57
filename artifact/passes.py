"""What `passes.json` holds: what each pass of the build did, and what it left.

A pass lists the functions that it changed alone; `text_after` puts the module together again.
"""

from .schema import Count, Expression, Strict

PASSES = "passes.json"


class Miss(Strict, frozen=True, kw_only=True):
    """A place that a pass looked at and left, because a predicate failed there."""

    function: str
    value: str  # the first result of the node that stayed
    origin: str  # that node's path in the source module
    predicate: str  # what must hold
    found: str  # what does instead

    @property
    def reason(self) -> str:
        """Why it was left, in words."""
        return f"wanted that {self.predicate}, found: {self.found}"


class Change(Strict, frozen=True, kw_only=True):
    """A function after a pass that changed it.

    `launches` and `bytes` are of one call, as if each node that moves data were a kernel of its
    own, without the layers that it calls; bytes are those of operands and results, without the
    pages of caches.
    """

    text: str
    is_region: bool
    ops: dict[str, int]  # how many more nodes of an op it has than before
    launches: Count
    bytes: Expression


class Pass(Strict, frozen=True, kw_only=True):
    """One pass, in the order in which they ran; the first is the trace."""

    stage: str
    name: str
    rewrites: Count
    launches: Count  # of all entries with their layers, counted as `Change` does
    bytes: Expression
    misses: list[Miss] = []
    head: str | None = None  # the module's first line and its weights, where they changed
    order: list[str] = []  # the functions, where something was rewritten
    changes: dict[str, Change] = {}


class Passes(Strict, frozen=True, kw_only=True):
    """`passes.json`."""

    passes: list[Pass]
    layers: list[str]  # the function of each layer, in the order in which they run
    fallbacks: list[str]  # regions that no emitter knows but the generic one of rows
    peeled: dict[str, str]  # layers that run apart, by whose copy they are

    @property
    def functions(self) -> list[str]:
        """The entries and layers that are left after the last pass, without the regions."""
        order = [one.order for one in self.passes if one.order][-1]
        last = {name: change for one in self.passes for name, change in one.changes.items()}
        return [name for name in order if not last[name].is_region]

    def names_of(self, function: str) -> list[str]:
        """What a function is called after each pass: before it was peeled, as what it is of."""
        first = next(i for i, one in enumerate(self.passes) if function in one.changes)
        before = self.peeled.get(function, function)
        return [before if i < first else function for i in range(len(self.passes))]


def text_after(record: Passes, place: int) -> str:
    """The module's text after the pass at `place`."""
    head, order, texts = "", list[str](), dict[str, str]()
    for one in record.passes[: place + 1]:
        head, order = one.head or head, one.order or order
        texts |= {name: change.text for name, change in one.changes.items()}
    return "\n\n".join([head, *(texts[name] for name in order)]) + "\n"
