"""Runs the compiled sampling kernel, and parts of it, on rows with a request each."""

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from region_kernels import Region, usable_levels

from tapeout.ir.graph import Module
from tapeout.ir.ops.dtypes import to_torch
from tapeout.ir.printer import print_function
from tapeout.ir.types import TensorType
from tapeout.passes.add_sampling import sampling_function
from tapeout.passes.group_regions import group_regions
from tapeout.runtime.frame import Edits, Sampling

PARTS = {
    "adjusted": ("adjust_logits",),
    "restricted": ("restrict_logits",),
    "scores": ("adjust_logits", "restrict_logits"),
}
"""Regions that end before a token is chosen: they show what the whole keeps to itself."""
RESULTS = ("tokens", "chosen_logprobs", "ranks", "top_token_ids", "top_logprobs")


@dataclass
class Row:
    """How a row is sampled, after which tokens."""

    sampling: Sampling = Sampling()
    tokens: list[int] = field(default_factory=list)  # before the sampled one
    num_prompt_tokens: int = 0
    target: int = -1


def edits_of(*entries):
    """Edits (token, value, end, prefix); the last two may be left out."""
    full = [(*entry, *(1 << 30, ())[len(entry) - 2 :]) for entry in entries]
    tokens, values, ends, prefixes = zip(*full, strict=True)
    starts = np.cumsum([0, *map(len, prefixes)])
    parts = (tokens, values, ends, starts, [token for prefix in prefixes for token in prefix])
    types = (np.int32, np.float32, np.int32, np.int32, np.int32)
    return Edits(*(np.array(part, type) for part, type in zip(parts, types, strict=True)))


def mask_of(vocab_size, allowed):
    """The words of a mask that allows these tokens."""
    words = np.zeros(-(-vocab_size // 32), np.uint32)
    for token in allowed:
        words[token // 32] |= np.uint32(1 << token % 32)
    return words.view(np.int32)


@cache
def region_text(vocab_size, part="all"):
    """The region of @sample, or of some of its ops."""
    function = sampling_function(TensorType.of("f32", "R", vocab_size))
    if part != "all":
        function = _part(function, PARTS[part])
    module = Module({"sample": function}, ("sample",), {}, "paged")
    _, region = group_regions(module)[0].functions.values()
    return print_function(region)


def _part(function, ops):
    nodes = tuple(node for node in function.nodes if node.op in ops)
    made = {value for node in nodes for value in node.results}
    params = dict.fromkeys(v for node in nodes for v in node.operands if v not in made)
    return replace(function, params=tuple(params), nodes=nodes, results=nodes[-1].results)


@cache
def kernel(vocab_size, part="all", level=None):
    """The compiled region."""
    return Region(region_text(vocab_size, part), level or usable_levels()[0])


def operands(params, logits, rows, slots=None):
    """A tensor for each parameter; row r has the slot ``slots[r]``, the last slot by default."""
    count = len(rows)
    slots = list(slots if slots is not None else reversed(range(count)))
    room = 1 + max(len(row.tokens) for row in rows)
    sizes = {"R": count, "N": count, "L": count * room}
    known = {
        value.name: torch.zeros(value.type.concrete(sizes), dtype=to_torch(value.dtype))
        for value in params
    }
    known["logits"] = known["adjusted"] = logits.clone()
    lengths = [len(row.tokens) for row in rows]
    places = [slot * room + n for slot, n in zip(slots, lengths, strict=True)]
    in_order = range(count)
    _put(known, "sample_slots", in_order, slots)
    _put(known, "sample_positions", in_order, lengths)
    _put(known, "sample_places", in_order, places)
    _put(known, "targets", in_order, [row.target for row in rows])
    for name, entries in _of_slots(rows).items():
        _put(known, name, slots, entries)
    for row, slot, place in zip(rows, slots, places, strict=True):
        _put(known, "token_table", slice(place - len(row.tokens), place), row.tokens)
        for name, entries in _edits_and_mask(row.sampling).items():
            _put(known, name, (slot, slice(len(entries))), entries)
    return [known[value.name] for value in params], sizes


def _put(known, name, where, entries):
    """Into places of a tensor, if the part of the region has it."""
    if name in known and len(entries):
        known[name][where] = torch.as_tensor(entries).to(known[name].dtype)


def _of_slots(rows):
    """Each number of a slot's sampling, by the name of its table."""
    samplings = [row.sampling for row in rows]
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty")
    found = {n: [getattr(s, n) for s in samplings] for n in (*names, "frequency_penalty")}
    for name in ("num_logprobs", "num_prompt_logprobs"):
        wanted = [getattr(s, name) for s in samplings]
        found[name] = [-1 if n is None else n for n in wanted]
    return found | {
        "seeds": [s.seed for s in samplings],
        "num_prompt_tokens": [row.num_prompt_tokens for row in rows],
        "has_mask": [s.mask is not None for s in samplings],
        "num_edits": [0 if s.edits is None else len(s.edits.token_ids) for s in samplings],
    }


def _edits_and_mask(sampling):
    """The tables that hold more than a number for each slot."""
    found = {} if sampling.mask is None else {"masks": sampling.mask}
    if sampling.edits is not None:
        found["edit_tokens"] = sampling.edits.token_ids
        found["edit_values"] = sampling.edits.values
        found["edit_ends"] = sampling.edits.ends
        found["edit_prefix_starts"] = sampling.edits.prefix_starts
        found["edit_prefixes"] = sampling.edits.prefix_tokens
    return found


def run(logits, rows, part="all", level=None, num_threads=1, slots=None):
    """What the kernel gives: by name, with the token table it wrote; of a part, its result."""
    region = kernel(logits.shape[1], part, level)
    arguments, sizes = operands(region.function.params, logits, rows, slots)
    results = region.run(arguments, sizes, num_threads=num_threads)
    return results[0] if part != "all" else _named(region, arguments, results)


def interpret(logits, rows, part="all", slots=None):
    """What the definition gives, as `run` does."""
    region = kernel(logits.shape[1], part)
    arguments, sizes = operands(region.function.params, logits, rows, slots)
    results = region.reference(arguments, sizes)
    return results[0] if part != "all" else _named(region, arguments, results)


def _named(region, arguments, results):
    names = [value.name for value in region.function.params]
    table = arguments[names.index("token_table")]
    return dict(zip(RESULTS, results, strict=False)) | {"token_table": table}
