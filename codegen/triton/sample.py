"""Emits the "sample" region: a token for each row of logits, written into the token table.

A block takes a chunk of a row's vocabulary; the last one of a row to arrive takes the best of all
chunks. Chosen are the largest logit, or at a temperature the largest sum of the scaled logit and
Gumbel noise from the stream of `ir.ops.random`.
"""

from __future__ import annotations

from ...ir.graph import Function, Node, Value
from ...ir.types import Dim
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded, pointer_type

CHUNK = 4096

_CHOOSE = """@triton.jit
def NAME({names}):
    \"\"\"DOC\"\"\"
    row = tl.program_id(0)
    chunk = tl.program_id(1)
    block = chunk * {blocks} + tl.arange(0, {blocks})
    place = block[:, None] * 4 + tl.arange(0, 4)[None, :]
    inside = place < {V}
    x = tl.load(p_logits + row.to(tl.int64) * {V} + place, mask=inside, other=0.0)
    finite = tl.abs(x) < float("inf")
    slot = tl.load(p_sample_slots + row)
    temperature = tl.load(p_temperature + slot)
    score = x
    if temperature > 0.0:
        seed = tl.load(p_seeds + slot)
        position = tl.load(p_sample_positions + row)
        low, high = position.to(tl.int32), (position >> 32).to(tl.int32)
        zero = tl.zeros_like(block)
        a, b, c, d = tl.philox(seed, block, zero + low, zero + high, zero, 10)
        words = tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), ({blocks}, 4))
        uniform = (words.to(tl.uint32, bitcast=True).to(tl.float32) + 0.5) * {scale}
        noise = -tl.log(-tl.log(tl.minimum(uniform, {below_one})))
        score = x / temperature + noise
    score = tl.where(inside, score, float("-inf"))
    best = tl.max(score)
    first = tl.min(tl.where((score == best) & inside, place, {V}))
    first = tl.where(tl.min((finite | (place >= {V})).to(tl.int32)) == 0, -1, first)
    tl.store(w_best + row * {chunks} + chunk, best)
    tl.store(w_first + row * {chunks} + chunk, first)
    tl.debug_barrier()
    ticket = tl.atomic_add(w_tickets + row, 1, sem="acq_rel")
    if ticket != {chunks} - 1:
        return
    tl.store(w_tickets + row, 0)
    i = tl.arange(0, {padded_chunks})
    bests = tl.load(w_best + row * {chunks} + i, mask=i < {chunks}, other=float("-inf"),
                    cache_modifier=".cg")
    firsts = tl.load(w_first + row * {chunks} + i, mask=i < {chunks}, other={V},
                     cache_modifier=".cg")
    token = tl.min(tl.where(bests == tl.max(bests), firsts, {V}))
    target = tl.load(p_targets + row)
    token = tl.where(target >= 0, target, token)
    token = tl.where(tl.min(firsts) < 0, -1, token)
    tl.store(o_tokens + row, token)
    known = tl.where(target >= 0, target, tl.maximum(token, 0))
    where = tl.load(p_sample_places + row)
    tl.store(p_token_table + where, known, mask=where >= 0)"""

_READ = ("logits", "sample_slots", "temperature", "seeds", "sample_positions", "targets")


def emit_sample(function: Function, steps: Steps) -> RegionKernels:
    """The kernel of the sample region: greedy choices, and draws at a temperature."""
    sample = next(node for node in function.nodes if node.op == "sample")
    write = next(node for node in function.nodes if node.op == "write_tokens")
    rows, vocabulary = sample.operands[0].shape
    chunks = -(-int(vocabulary) // CHUNK)
    named = dict(zip(("logits", "_", *_READ[1:]), sample.operands, strict=True))
    values = [named[name] for name in _READ] + [write.operands[3], write.operands[0]]
    names = [f"p_{name}" for name in (*_READ, "sample_places", "token_table")]
    buffers = [Operand("param", function.params.index(value)) for value in values]
    buffers += [Operand("result", _place_of(function, sample))]
    buffers += [Operand("workspace", place) for place in range(3)]
    names += ["o_tokens", "w_best", "w_first", "w_tickets"]
    types = [*map(pointer_type, values), "*i32", "*fp32", "*i32", "*i32"]
    body = _CHOOSE.format(
        names=", ".join(names),
        V=int(vocabulary),
        blocks=CHUNK // 4,
        chunks=chunks,
        padded_chunks=padded(chunks),
        scale=repr(2.0**-32),
        below_one=repr(1 - 2.0**-24),
    )
    kernel = Kernel(
        "", body, tuple(buffers), tuple(types), (), grid_of((rows, 1, 1), chunks), num_warps=8
    )
    sizes: tuple[Dim, ...] = (rows * (chunks * 4), rows * (chunks * 4), rows * 4)
    return RegionKernels((kernel,), sizes, frozenset({2}))


def _place_of(function: Function, node: Node) -> int:
    result: Value = node.result
    return function.results.index(result)
