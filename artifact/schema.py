"""What an artifact's JSON files hold. Decoding is strict: an unknown or missing field is refused.

Sizes are parametric: an `Expression` maps a symbol of the step to its coefficient, `""` to the
constant, with zero terms left out: `{"": 64, "R": 4}` is 64 + 4 R. `"SP"` is the product S * P.
Symbols: T tokens, S sequences, R logit rows of a step, P width of the block tables in pages. Inputs
may also have a row for each of the N slots for sequences that a load has, or L tokens in all slots.
"""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct, json

SCHEMA_VERSION = 5
MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.digest"
LEAST_POSITIONS = 2  # of a token and an answer
SYMBOLS = ("", "T", "S", "R", "P", "SP")
COST_SYMBOLS = (*SYMBOLS, "K", "E")
INPUT_SYMBOLS = (*SYMBOLS, "N", "L")

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Positive: TypeAlias = Annotated[int, Meta(ge=1)]
Expression: TypeAlias = dict[str, int]
Rows: TypeAlias = Literal["T", "R"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every record: fields have names, none is unknown, none changes."""


class Model(Strict, frozen=True, kw_only=True):
    """What the runtime must know of the model."""

    architecture: str
    dtype: str
    vocab_size: Count
    max_position_embeddings: Count
    eos_token_ids: list[int]
    bos_token_id: int | None


class Input(Strict, frozen=True, kw_only=True):
    """A host array that the executor owns and fills for each step."""

    name: str
    dtype: str
    bytes: Expression


class Slot(Strict, frozen=True, kw_only=True):
    """A piece of the arena: as many bytes as the largest of its expressions, in multiples of 64."""

    bytes: list[Expression]


class CacheGroup(Strict, frozen=True, kw_only=True):
    """Layers that share one block table; a page holds `page_size_tokens` tokens of each layer."""

    name: str
    layers: Count
    page_size_tokens: Positive
    page_bytes_per_layer: Count
    window: int | None  # tokens that attention looks back, None for all


class Tensor(Strict, frozen=True, kw_only=True):
    """Where the bytes of a weight are; `offset` counts from the file's start, a multiple of 64."""

    file: str
    offset: Count
    bytes: Count


class Weights(Strict, frozen=True, kw_only=True):
    """Every weight by name; a member of a family is named `layer0.qkv/3`."""

    total_bytes: Count  # of the tensors alone, without headers and padding: less than in memory
    tensors: dict[str, Tensor]


class TensorMap(Strict, frozen=True, kw_only=True):
    """A buffer that a kernel takes as a tensor map: a matrix as the tensor unit knows it.

    Its parameters are the map, then rows and columns (32 bits) and their strides (64 bits). The
    matrix has as many rows as the buffer holds.
    """

    buffer: Count  # its place among the launch's
    dtype: str  # of an element, as Triton names it
    width: Count  # elements of a row
    box: tuple[Count, Count]  # rows and columns that a copy brings
    swizzle: Count  # the driver's number for how a box lies in shared memory


class Cubin(Strict, frozen=True, kw_only=True):
    """Machine code of one GPU kernel (AMD's is a hsaco), and what launching it takes."""

    file: str
    assembly: str  # the file of its text, compressed by gzip: PTX, or AMD's
    entry: str  # the function in it: pointers, then 32-bit scalars, then two null pointers
    num_warps: Count  # a block has 32 threads for each, 64 on AMD
    shared_bytes: Count  # dynamic shared memory of a block
    registers: Count  # of a thread
    local_bytes: Count  # of a thread: spilled registers, or arrays of a slow path
    begins_early: bool = False  # it waits for the launch before it by itself
    maps: list[TensorMap] = []  # in the order of the buffers


class Operand(Strict, frozen=True, array_like=True):
    """What a buffer of a kernel is to its region: a parameter, a result or a workspace, each by
    number (`["param", 0]`), or an input of the step, by name."""

    kind: Literal["param", "result", "workspace", "input"]
    place: int | str


class Routing(Strict, frozen=True, array_like=True):
    """Experts of a region, and how many of them a token chooses."""

    num_experts: Positive
    num_chosen: Count


class GridTerm(Strict, frozen=True, array_like=True):
    """Blocks along one axis of a grid: `max(1, ceil(extent / divisor)) * factor`."""

    extent: Expression
    divisor: Positive
    factor: Positive


class Kernel(Strict, frozen=True, kw_only=True):
    """A compiled region, or a part of one, and what a reader wants to know of it.

    What a launch costs has two symbols more: K pairs of a token and a key that attention sees, and
    E distinct experts that are read. Keys and values themselves are not in it.
    """

    name: str
    region: str
    anchor: str
    math: str
    source: str
    flops: Expression | None = None
    bytes: Expression | None = None
    multiplied: Expression | None = None  # of the bytes, rows that every block of columns reads
    tiles: list[GridTerm] | None = None  # that its blocks take in turn; None: each has one
    operands: list[Operand] = []  # what its buffers are, in order; none where nobody has said it
    routing: Routing | None = None
    cubin: Cubin | None = None  # None for the CPU, whose kernels are in the library of a level


class Target(Strict, frozen=True, kw_only=True):
    """All that one target needs to run."""

    levels: dict[str, str]  # a CPU's instruction-set level to shared object, best first
    player: str | None  # None: nothing plays it yet
    inputs: list[Input]
    slots: list[Slot]
    outputs: dict[str, Count]  # name to slot
    cache_groups: list[CacheGroup]
    tapes: dict[str, str]  # entry to file; a GPU has several of one: `step.<variant>`
    weights: Weights
    kernels: list[Kernel]
    batch_invariant: bool  # a row has the same bits alone, in any batch and at any chunking


class File(Strict, frozen=True, kw_only=True):
    """Size and digest of a file; the digest is `digests.digest_of`."""

    bytes: Count
    digest: str


class Manifest(Strict, frozen=True, kw_only=True):
    """`manifest.json`; `files`, set by the writer, lists all others but `manifest.digest`."""

    schema: int = SCHEMA_VERSION
    tool: dict[str, str]
    model: Model
    targets: dict[str, Target]
    files: dict[str, File] = {}


class SlotBuffer(Strict, frozen=True, array_like=True, tag="slot"):
    """`["slot", 3]`: the start of the arena slot 3."""

    slot: Count


class WeightBuffer(Strict, frozen=True, array_like=True, tag="weight"):
    """`["weight", name]`: the start of a weight."""

    name: str


class InputBuffer(Strict, frozen=True, array_like=True, tag="input"):
    """`["input", name]`: the start of an input array."""

    name: str


class CacheBuffer(Strict, frozen=True, array_like=True, tag="cache"):
    """`["cache", group, layer]`: the start of the pages of a group's layer."""

    group: str
    layer: Count


Buffer: TypeAlias = SlotBuffer | WeightBuffer | InputBuffer | CacheBuffer


class Launch(Strict, frozen=True, kw_only=True):
    """One call of a kernel."""

    kernel: str
    buffers: list[Buffer]
    scalars: list[Expression]
    grid: list[GridTerm] = []  # three on a GPU; CPU kernels share their work among threads
    rows: Rows = "T"  # what its kernel's record calls T: tokens, or rows of logits


class Tape(Strict, frozen=True, kw_only=True):
    """The launches of an entry function, in order.

    A GPU's target has several of one entry, named `step.<variant>`; the first in its `tapes` that
    takes a step is right for it, and made for steps of its size.
    """

    launches: list[Launch]
    max_rows: int | None = None  # the largest T (of a sample: R) that it takes; None: any
    one_token_each: bool = False  # it takes only steps of one token and its logits each: T = S = R

    def takes(self, num_rows: int, one_token_each: bool) -> bool:
        """Whether it is for a step of so many tokens, or for a sample of so many rows; of a step,
        whether each sequence has one token, of which logits are wanted."""
        fits = self.max_rows is None or num_rows <= self.max_rows
        return fits and (one_token_each or not self.one_token_each)


class Described(NamedTuple):
    """A target with its tapes by name, built or not: what can be said of its steps."""

    target: Target
    tapes: Mapping[str, Tape]

    def choose(self, entry: str, num_rows: int, one_token_each: bool) -> Tape:
        """The first tape of an entry that takes a step."""
        tapes = (tape for name, tape in self.tapes.items() if name.split(".")[0] == entry)
        return next(tape for tape in tapes if tape.takes(num_rows, one_token_each))


def encode(record: Strict) -> bytes:
    """The record as indented JSON; equal records give the same bytes."""
    return json.format(json.encode(record), indent=1) + b"\n"


def evaluate(expression: Expression, sizes: Mapping[str, int]) -> int:
    """The value of `expression` where symbol s is `sizes[s]`."""
    return sum(factor * prod(sizes[s] for s in term) for term, factor in expression.items())
