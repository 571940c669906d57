"""Emits the "sample" region: a token for each row of logits, written into the token table.

Three kernels, the ops of `ir.ops.sampling` in their order. *Prepare* takes a row a block and ends
at once for rows that want no more than a temperature; else it adjusts the logits and finds the
lowest one that may be drawn. *Choose* splits a row over blocks, a span each; the last to arrive
has the token. *Logprobs* takes a row a block and ends at once for rows that want none. A row's
result depends on nothing but the row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...ir.graph import Function
from ...ir.ops import record_of
from ...ir.ops.random import OF_PLACES, OF_SPANS
from ...ir.ops.sampling import MAX_EDITS, MAX_PREFIX_TOKENS, RESULTS
from ...ir.ops.sampling_reference import NUM_TOP, SPAN
from ...ir.types import Dim
from ..cpp.cost import NOTHING, Cost
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded, pointer_type
from .sample_adjust import ADJUST
from .sample_choose import CHOOSE
from .sample_logprobs import LOGPROBS
from .sample_sets import SETS

GROUP, AT_ONCE, NUM_SUMS = 1024, 4, 2048
_MANY_TOKENS, _LARGEST_TILE = 4096, 4096
_NOISES = 256  # of a block that draws, at a time: for more, all blocks would take more registers

Names = tuple[str, ...]

_PREPARE = '''@triton.jit
def NAME(ARGUMENTS):
    """DOC"""
    row = tl.program_id(0)
    slot = tl.load(p_sample_slots + row)
    place = tl.load(p_sample_places + row)
    is_free = (tl.load(p_targets + row) < 0) & (place >= 0)
    position = tl.load(p_sample_positions + row).to(tl.int32)
    has_mask = tl.load(p_has_mask + slot) != 0
    num_edits = tl.load(p_num_edits + slot)
    repetition = tl.load(p_repetition_penalty + slot)
    presence = tl.load(p_presence_penalty + slot)
    frequency = tl.load(p_frequency_penalty + slot)
    temperature = tl.load(p_temperature + slot)
    top_k = tl.load(p_top_k + slot)
    top_p = tl.load(p_top_p + slot)
    min_p = tl.load(p_min_p + slot)
    penalizes = (repetition != 1.0) | (presence != 0.0) | (frequency != 0.0)
    adjusts = is_free & (has_mask | (num_edits > 0) | penalizes)
    restricts = ((top_k > 0) & (top_k < V)) | (top_p < 1.0) | (min_p > 0.0)
    restricts = is_free & (temperature > 0.0) & restricts
    tl.store(w_adjusts + row, adjusts.to(tl.int32))
    tl.store(w_lowest + row, float("-inf"))
    if (adjusts | restricts) == 0:
        return
    p_x = p_logits + row.to(tl.int64) * V
    p_list = w_list + row.to(tl.int64) * V
    p_sums = w_sums + row * NUM_SUMS
    if adjusts:
        p_adjusted = w_adjusted + row.to(tl.int64) * V
        p_known = p_token_table + place - position
        _copy_allowed(p_x, has_mask, p_masks + slot * ((V + 31) // 32), p_adjusted)
        if num_edits > 0:
            _edit(p_adjusted, p_known, position, num_edits,
                  p_edit_tokens + slot * MAX_EDITS, p_edit_values + slot * MAX_EDITS,
                  p_edit_ends + slot * MAX_EDITS, p_edit_prefix_starts + slot * (MAX_EDITS + 1),
                  p_edit_prefixes + slot * MAX_PREFIX_TOKENS, p_sums)
        if penalizes:
            _penalize(p_adjusted, p_known, position, tl.load(p_num_prompt_tokens + slot),
                      repetition, presence, frequency, p_list)
        p_x = p_adjusted
    if restricts:
        lowest = _lowest_score(p_x, temperature, top_k, top_p, min_p, p_list, p_sums)
        tl.store(w_lowest + row, _lowest_logit(lowest, temperature))
'''

_CHOSEN_FROM: Names = ("logits", "sample_slots", "temperature", "seeds", "sample_positions")
_CHOSEN_FROM = (*_CHOSEN_FROM, "targets", "sample_places", "token_table")
_RANKED_BY: Names = ("logits", "targets", "sample_slots", "num_logprobs", "num_prompt_logprobs")
_FOUND = ("w_adjusted", "w_adjusts", "w_lowest")
_OF_SPANS = ("w_bests", "w_firsts", "w_totals", "w_tickets")

Pointer = tuple[Operand, str]
"""A buffer and its type in Triton."""


def emit_sample(function: Function, steps: Steps) -> RegionKernels:
    """The kernels of the sample region: the same for all steps."""
    given, logits = _given(function), function.nodes[0].operands[0]
    rows, vocab_size = logits.shape
    values = _constants(int(vocab_size))
    spaces = _workspaces(rows, values)
    pointers = given | {
        name: (Operand("workspace", place), kind)
        for place, (name, (kind, _)) in enumerate(spaces.items())
    }
    head = "\n".join(f"{name} = tl.constexpr({value!r})" for name, value in values.items())

    def kernel(
        suffix: str, text: str, names: Names, warps: int, *grid: int, cost: Cost | None = NOTHING
    ) -> Kernel:
        operands, types = zip(*(pointers[name] for name in names), strict=True)
        body = f"{head}\n\n\n{text.replace('ARGUMENTS', ', '.join(names))}"
        blocks = grid_of((rows, 1, 1), *grid)
        return Kernel(suffix, body, operands, types, (), blocks, warps, cost=cost)

    read = [name for op in ("adjust_logits", "restrict_logits") for name in record_of(op).operands]
    read = [f"p_{name}" for name in dict.fromkeys((*read, "targets")) if f"p_{name}" in given]
    chosen = (*(f"p_{name}" for name in _CHOSEN_FROM), *_FOUND, *_OF_SPANS, "o_tokens")
    ranked = (*(f"p_{name}" for name in _RANKED_BY), "o_tokens", "w_groups")
    ranked += tuple(f"o_{name}" for name in RESULTS["token_logprobs"])
    prepare = "\n\n".join((ADJUST, SETS, _PREPARE))
    threads = 1024 if values["V"] > _MANY_TOKENS else 512  # fewer, and registers are spilled
    warps = threads // (steps.target.warp_size if steps.target else 32)
    kernels = (
        kernel("_prepare", prepare, (*read, *_FOUND, "w_list", "w_sums"), warps),
        # Small blocks: many on a multiprocessor hide what each waits for.
        kernel("", CHOOSE, chosen, 4, int(values["NUM_SPANS"]), cost=None),
        kernel("_logprobs", LOGPROBS, ranked, 16),
    )
    sizes = tuple(size for _, size in spaces.values())
    return RegionKernels(kernels, sizes, frozenset({list(spaces).index("w_tickets")}))


def _given(function: Function) -> dict[str, Pointer]:
    """Parameters and results of the region by the names that the ops' records give them."""
    found: dict[str, Pointer] = {}
    for node in function.nodes:
        for name, value in zip(record_of(node.op).operands, node.operands, strict=True):
            if value in function.params:
                operand = Operand("param", function.params.index(value))
                found[f"p_{name}"] = (operand, pointer_type(value))
        for name, value in zip(RESULTS[node.op], node.results, strict=True):
            if value in function.results:
                operand = Operand("result", function.results.index(value))
                found[f"o_{name}"] = (operand, pointer_type(value))
    return found


def _constants(vocab_size: int) -> dict[str, int | float]:
    """What the kernels' texts call by name; tiles cut a row in two at least.

    Logits of rows that are not aligned are read one by one, and their addresses take registers.
    """
    largest = _LARGEST_TILE if vocab_size % 4 == 0 else _LARGEST_TILE // 2
    tile = min(largest, max(256, padded(vocab_size) // 2))
    num_spans, groups = -(-vocab_size // SPAN), GROUP * AT_ONCE
    return {
        **{"V": vocab_size, "TILE": tile, "SPAN": SPAN, "NUM_SPANS": num_spans},
        **{"PADDED_SPANS": padded(num_spans, 4), "NOISES": _NOISES, "GROUP": GROUP},
        **{"NUM_GROUPS": padded(-(-vocab_size // groups) * AT_ONCE), "AT_ONCE": AT_ONCE},
        **{"MAX_EDITS": MAX_EDITS, "MAX_PREFIX_TOKENS": MAX_PREFIX_TOKENS, "SEEN": 1 << 30},
        **{"NUM_SUMS": NUM_SUMS, "ONE": 1 << (62 - vocab_size.bit_length()), "SIGN": -(1 << 31)},
        **{"UNIT": 2.0**-32, "BELOW_ONE": 1 - 2.0**-24, "LOG2_E": math.log2(math.e)},
        **{"OF_PLACES": OF_PLACES, "OF_SPANS": OF_SPANS, "NUM_TOP": NUM_TOP},
        "KEY_OF_MINUS_INFINITY": (1 << 23) - 1,
    }


def _workspaces(rows: Dim, values: Mapping[str, int | float]) -> dict[str, tuple[str, Dim]]:
    """Types and bytes, by name."""
    of_row, of_span = rows * 4, rows * (4 * int(values["NUM_SPANS"]))
    whole, groups = rows * (4 * int(values["V"])), rows * (4 * int(values["NUM_GROUPS"]))
    return {
        "w_adjusted": ("*fp32", whole),
        "w_adjusts": ("*i32", of_row),
        "w_lowest": ("*fp32", of_row),
        "w_list": ("*i32", whole),
        "w_sums": ("*i64", rows * (8 * NUM_SUMS)),
        "w_bests": ("*fp32", of_span),
        "w_firsts": ("*i32", of_span),
        "w_totals": ("*fp32", of_span),
        "w_tickets": ("*i32", of_row),
        "w_groups": ("*fp32", groups),
    }
