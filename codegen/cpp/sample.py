"""Emits "sample" regions: what sampling does to a row of logits, by the kit's kernel.

The kernel takes a record of pointers, `sample_step` of the kit, that bear the operands' names in
the IR. What a region has no use for stays null, and so tells the kernel what not to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.graph import Function, Node, Value
from ...ir.ops import record_of
from ...ir.ops.sampling import RESULTS
from .choices import Asked
from .elements import CPP_TYPES
from .kernel import KernelLaunch, Operand, RegionKernel

SCRATCH = ("scratch", "more_scratch")

Field = tuple[str, Value, Operand]
"""A pointer of the record: its name, a value of its type, and the buffer."""


def emit_sample(function: Function, packed: frozenset[str], asked: Asked) -> RegionKernel:
    """The kernel of a sample region, whose first op reads the row that is sampled from."""
    logits = function.nodes[0].operands[0]
    rows, vocab_size = logits.shape
    found = [field for node in function.nodes for field in _fields(function, node, logits)]
    found += [(name, logits, Operand("workspace", at)) for at, name in enumerate(SCRATCH)]
    fields = {name: (value, operand) for name, value, operand in found}
    lines = [
        "sample_step step = {};",
        *(
            f"step.{name} = ({CPP_TYPES[value.dtype]} *)launch->buffers[{place}];"
            for place, (name, (value, _)) in enumerate(fields.items())
        ),
        "step.rows = launch->scalars[0];",
        f"step.vocabulary = {vocab_size};",
        "sample(step, launch->ticket);",
    ]
    body = "\n".join(["TAPEOUT_KERNEL(NAME) {", *(f"    {line}" for line in lines), "}"])
    launch = KernelLaunch("", tuple(operand for _, operand in fields.values()), (rows,))
    return RegionKernel(body, (launch,), (logits.type.num_bytes(),) * len(SCRATCH))


def _fields(function: Function, node: Node, logits: Value) -> Iterator[Field]:
    """What an op takes from outside, and those of its results that the region gives."""
    record, params = record_of(node.op), function.params
    for name, value in zip(record.operands, node.operands, strict=True):
        if value in params:
            name = "logits" if value == logits else name
            yield name, value, Operand("param", params.index(value))
    written = (node.operands[record.operands.index(name)] for name in record.writes)
    homes = [Operand("param", params.index(value)) for value in written]
    for name, value in zip(RESULTS[node.op], node.results, strict=True):
        if value in function.results:
            home = homes.pop(0) if homes else Operand("result", function.results.index(value))
            yield name, value, home
