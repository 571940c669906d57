"""Emits the "sample" region: a token for each row of logits, written into the token table.

Three launches. *Prepare* gives rows that want it adjusted logits and the lowest score of their set,
found by bisection of the floats; a row that wants nothing costs it nothing. *Choose* takes a chunk
of a row's vocabulary a block; the last one to arrive takes the best of all chunks: the largest
logit, or at a temperature the largest sum of a score and Gumbel noise from the stream of
`ir.ops.random`. *Logprobs* is for rows that want them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...ir.graph import Function, Value
from ...ir.ops.sampling import MAX_EDITS, MAX_PREFIX_TOKENS
from ...ir.ops.sampling_reference import NUM_TOP
from ...ir.types import Dim
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded, pointer_type
from .sample_text import CHOOSE, HELPERS, LOGPROBS, PREPARE

CHUNK = 4096  # of a row, that a block chooses from
LINE = 16384  # of a row, that a block walks along

_ROW = ("logits", "sample_slots", "sample_places", "targets")
_PREPARE = (
    *("sample_positions", "token_table", "num_prompt_tokens", "temperature", "top_k", "top_p"),
    *("min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "num_edits"),
    *("edit_tokens", "edit_values", "edit_ends", "edit_prefix_starts", "edit_prefixes"),
    *("has_mask", "masks"),
)
_CHOOSE = ("sample_positions", "token_table", "temperature", "seeds")
_LOGPROBS = ("num_logprobs", "num_prompt_logprobs")
_WORKSPACES = ("adjusted", "lowest", "prepared", "best", "first", "tickets")
_RESULTS = ("tokens", "chosen", "ranks", "top_ids", "top")


def emit_sample(function: Function, steps: Steps) -> RegionKernels:
    """The kernels of the region of all that sampling does."""
    rows, vocabulary = function.params[0].shape
    V, chunks = int(vocabulary), -(-int(vocabulary) // CHUNK)
    line = min(LINE, padded(V, 1024))
    values = {
        **{"V": V, "blocks": CHUNK // 4, "chunks": chunks, "padded_chunks": padded(chunks)},
        **{"scale": repr(2.0**-32), "below_one": repr(1 - 2.0**-24), "num_top": NUM_TOP},
        **{"chunk": min(CHUNK, line), "line": line, "words": -(-V // 32)},
        **{"max_edits": MAX_EDITS, "max_prefix": MAX_PREFIX_TOKENS},
    }
    region = _Region(function)
    warps = max(4, line // 1024)
    prepare = region.kernel(
        "_prepare", HELPERS + PREPARE, values, _PREPARE, (), _WORKSPACES[:3], (rows,), warps
    )
    choose = region.kernel(
        "", CHOOSE, values, _CHOOSE, _RESULTS[:1], _WORKSPACES, (rows, chunks), 8
    )
    logprobs = region.kernel("_logprobs", LOGPROBS, values, _LOGPROBS, _RESULTS, (), (rows,), warps)
    of_row, of_chunk = rows * 4, rows * (chunks * 4)
    sizes: tuple[Dim, ...] = (rows * (V * 4), of_row, of_row, of_chunk, of_chunk, of_row)
    return RegionKernels((prepare, choose, logprobs), sizes, frozenset({5}))


class _Region:
    """The operands of a sampling region by the names that the ops' records give them."""

    def __init__(self, function: Function):
        self.function = function
        by_op = {node.op: node for node in function.nodes}
        self.params: dict[str, Value] = {}
        for node in function.nodes:
            self.params |= {
                value.name: value for value in node.operands if value in function.params
            }
        self.results = [by_op["sample"].result, *by_op["token_logprobs"].results]

    def kernel(
        self,
        suffix: str,
        text: str,
        values: Mapping[str, object],
        read: tuple[str, ...],
        made: tuple[str, ...],
        workspaces: tuple[str, ...],
        grid: tuple[Dim | int, ...],
        num_warps: int,
    ) -> Kernel:
        """A kernel over a row's own operands, others it reads, results and workspaces."""
        inputs = [self.params[name] for name in (*_ROW, *read)]
        results = [self.results[_RESULTS.index(name)] for name in made]
        names = [f"p_{name}" for name in (*_ROW, *read)] + [f"o_{name}" for name in made]
        names += [f"w_{name}" for name in workspaces]
        function = self.function
        buffers = [Operand("param", function.params.index(value)) for value in inputs]
        buffers += [Operand("result", function.results.index(value)) for value in results]
        buffers += [Operand("workspace", _WORKSPACES.index(name)) for name in workspaces]
        types = [pointer_type(value) for value in (*inputs, *results)]
        types += ["*fp32" if w in ("adjusted", "lowest", "best") else "*i32" for w in workspaces]
        body = text.format(names=", ".join(names), **values)
        terms = [(term, 1, 1) if isinstance(term, Dim) else term for term in grid]
        return Kernel(
            suffix, body, tuple(buffers), tuple(types), (), grid_of(*terms), num_warps=num_warps
        )
