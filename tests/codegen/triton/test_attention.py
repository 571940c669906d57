import pytest
import torch
from region_kernels import relative_error
from triton_regions import VARIANTS, TritonRegion

TOLERANCE = {"f32": 2e-6, "bf16": 1.2e-2}  # where Triton's interpreter cuts, machines round
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
PAGE, NUM_PAGES, WIDTH = 16, 50, 12

WRITE = """
func @write(%cache: state[], %k: {d}[T, {hk}, {dim}], %v: {d}[T, {hk}, {dv}], %positions: i32[T],
            %sequence_ids: i32[T], %table: i32[S, P]) {{anchor = "rows"}} {{
  %new: state[] = kv_write(%cache, %k, %v, %positions, %sequence_ids, %table)
    {{group = "full", layer = 0}}
  return %new
}}
"""
ATTEND = """
func @attend(%q: {d}[T, {h}, {dim}], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
             %table: i32[S, P]{sinks}) {{anchor = "attention"}} {{
  %y: {d}[T, {h}, {dv}] = paged_attention(%q, %cache, %positions, %sequence_ids, %table{use})
    {{group = "full", layer = 0, num_key_heads = {hk}, scale = 0.3, value_dim = {dv}{options}}}
  return %y
}}
"""
CASES = {
    "grouped heads": {},
    "three heads": {"h": 3, "hk": 1, "dim": 64, "dv": 64},
    "other width of values": {"dim": 24, "dv": 88},
    "window, softcap and sinks": {"options": ", window = 70, softcap = 2.0", "sinks": True},
}
ONE, FEW, SOME, MANY, ANY = VARIANTS


class Attention:
    """The kernels that write a cache and read it; sequences are packed in one step."""

    def __init__(self, steps, d="f32", h=4, hk=2, dim=40, dv=40, options="", sinks=False):
        self.shape, self.dtype = (h, hk, dim, dv), DTYPES[d]
        texts = {"d": d, "h": h, "hk": hk, "dim": dim, "dv": dv, "options": options}
        texts |= {"sinks": f", %sinks: {d}[{h}]" if sinks else "", "use": ", %sinks" * sinks}
        self.write = TritonRegion(WRITE.format(**texts), steps)
        self.attend = TritonRegion(ATTEND.format(**texts), steps)
        torch.manual_seed(0)
        self.sinks = [torch.randn(h).to(self.dtype)] if sinks else []

    def error(self, contexts, counts):
        """How far `counts[i]` tokens after `contexts[i]` others of sequence i are off."""
        h, hk, dim, dv = self.shape
        lengths = [a + b for a, b in zip(contexts, counts, strict=True)]
        q, k, v = (
            torch.randn(sum(lengths), *s).to(self.dtype) for s in ((h, dim), (hk, dim), (hk, dv))
        )
        cache = torch.zeros(NUM_PAGES * PAGE * hk * (dim + dv), dtype=self.dtype)
        where, symbols = packed([0] * len(lengths), lengths)
        self.write.run([cache, k, v, *where], symbols)
        pages = {}
        self.write.reference([pages, k, v, *where], symbols)
        new = torch.cat([torch.arange(n) >= c for n, c in zip(lengths, contexts, strict=True)])
        where, symbols = packed(contexts, counts)
        starts = torch.tensor([0, *counts]).cumsum(0).int()
        inputs = {"query_start": starts, "context_lengths": torch.tensor(lengths).int()}
        q = q[new].contiguous()
        [found] = self.attend.run([q, cache, *where, *self.sinks], symbols, inputs)
        [wanted] = self.attend.reference([q, pages, *where, *self.sinks], symbols)
        return relative_error(found, wanted)


def packed(contexts, counts):
    """Positions, sequence ids and block table of a step, and its sizes."""
    positions = torch.cat([torch.arange(c, c + n) for c, n in zip(contexts, counts, strict=True)])
    ids = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    table = torch.arange(1, 1 + len(counts) * WIDTH).reshape(len(counts), WIDTH)
    symbols = {"T": sum(counts), "S": len(counts), "P": WIDTH}
    return [positions.int(), ids.int(), table.int()], symbols


@pytest.mark.parametrize("case", CASES)
def test_decoding_over_pages_is_that_of_the_interpreter(case):
    assert Attention(ONE, "f32", **CASES[case]).error([150], [1]) <= TOLERANCE["f32"]
    assert Attention(FEW, "bf16", **CASES[case]).error([0, 69], [1] * 2) <= TOLERANCE["bf16"]
    assert Attention(MANY, "bf16", **CASES[case]).error([0, 70], [1] * 2) <= TOLERANCE["bf16"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("steps", [SOME, ANY], ids=lambda steps: steps.name)
def test_mixed_steps_over_pages_are_those_of_the_interpreter(steps, case):
    attention = Attention(steps, "bf16", **CASES[case])
    assert attention.error([3, 0, 60, 0], [1, 7, 20, 1]) <= TOLERANCE["bf16"]


def test_a_split_context_leaves_its_tickets_at_zero():
    attention = Attention(ONE)
    attention.error([150], [1])
    [tickets] = attention.attend.emitted.tickets
    assert not attention.attend.workspaces[tickets].any()


def test_a_row_at_position_minus_one_writes_nothing_and_attends_to_nothing():
    attention = Attention(FEW)
    h, hk, dim, dv = attention.shape
    cache = torch.zeros(NUM_PAGES * PAGE * hk * (dim + dv))
    nowhere, table = torch.full((2,), -1).int(), torch.zeros(1, WIDTH).int()
    where, symbols = [nowhere, torch.zeros(2).int(), table], {"T": 2, "S": 1, "P": WIDTH}
    attention.write.run([cache, torch.ones(2, hk, dim), torch.ones(2, hk, dv), *where], symbols)
    [found] = attention.attend.run([torch.ones(2, h, dim), cache, *where], symbols)
    assert not cache.any() and not found.any()


JOINED = """
func @rope_kv_write_attend(%x: {d}[T, {n}], %g: {d}[{dim}], %cos: {d}[T, {half}],
    %sin: {d}[T, {half}], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
    %table: i32[S, P]) {{anchor = "attention"}} {{
  %q0: {d}[T, {hd}] = slice(%x) {{axis = 1, start = 0, stop = {hd}}}
  %q1: {d}[T, {h}, {dim}] = reshape(%q0) {{shape = [<T>, {h}, {dim}]}}
  %q2: {d}[T, {h}, {dim}] = rms_norm(%q1, %g) {{eps = 1e-05}}
  %q: {d}[T, {h}, {dim}] = rope(%q2, %cos, %sin)
  %k0: {d}[T, {kd}] = slice(%x) {{axis = 1, start = {hd}, stop = {hkd}}}
  %k1: {d}[T, {hk}, {dim}] = reshape(%k0) {{shape = [<T>, {hk}, {dim}]}}
  %k2: {d}[T, {hk}, {dim}] = rms_norm(%k1, %g) {{eps = 1e-05}}
  %k: {d}[T, {hk}, {dim}] = rope(%k2, %cos, %sin)
  %v0: {d}[T, {kd}] = slice(%x) {{axis = 1, start = {hkd}, stop = {n}}}
  %v: {d}[T, {hk}, {dim}] = reshape(%v0) {{shape = [<T>, {hk}, {dim}]}}
  %new: state[] = kv_write(%cache, %k, %v, %positions, %sequence_ids, %table)
    {{group = "full", layer = 0}}
  %y: {d}[T, {h}, {dim}] = paged_attention(%q, %new, %positions, %sequence_ids, %table)
    {{group = "full", layer = 0, num_key_heads = {hk}, scale = 0.3, value_dim = {dim}}}
  return %new, %y
}}
"""


@pytest.mark.parametrize("dim", [40, 64])
@pytest.mark.parametrize("steps", VARIANTS, ids=lambda steps: steps.name)
def test_a_region_that_makes_its_queries_and_writes_the_cache_is_that_of_the_interpreter(
    steps, dim
):
    torch.manual_seed(0)
    h, hk, d = 6, 2, "f32" if dim == 40 else "bf16"
    sizes = {"h": h, "hk": hk, "dim": dim, "hd": h * dim, "kd": hk * dim, "half": dim // 2}
    sizes |= {"n": (h + 2 * hk) * dim, "hkd": (h + hk) * dim}
    region = TritonRegion(JOINED.format(d=d, **sizes), steps)
    cache = torch.zeros(NUM_PAGES * PAGE * hk * 2 * dim, dtype=DTYPES[d])
    pages, contexts = {}, [0, 3, 70][: steps.max_rows or 3]
    gain = torch.rand(dim).to(DTYPES[d])
    for where, symbols in _steps_up_to(contexts):
        tokens = symbols["T"]
        x, cos, sin = (
            torch.randn(tokens, n).to(DTYPES[d]) for n in (sizes["n"], dim // 2, dim // 2)
        )
        ends = torch.tensor([n + symbols["T"] // symbols["S"] for n in where.pop()]).int()
        starts = torch.arange(symbols["S"] + 1).int() * (tokens // symbols["S"])
        inputs = {"query_start": starts, "context_lengths": ends}
        if tokens != symbols["S"] and steps.one_token_each:
            writer = TritonRegion(JOINED.format(d=d, **sizes), ANY)
        else:
            writer = region
        [found] = writer.run([x, gain, cos, sin, cache, *where], symbols, inputs)
        _, wanted = region.reference([x, gain, cos, sin, pages, *where], symbols)
        assert relative_error(found, wanted) <= TOLERANCE[d]


def _steps_up_to(contexts):
    """A step of each sequence's context, packed, then one of a token each."""
    if any(contexts):
        longest = max(contexts)
        where, symbols = packed([0] * len(contexts), [longest] * len(contexts))
        yield [*where, [0] * len(contexts)], symbols
    where, symbols = packed(contexts, [1] * len(contexts))
    yield [*where, contexts], symbols
