"""Attention regions for GPUs beside the interpreter's result, over caches with NaN in what no query
may see."""

import re

import torch
from region_kernels import relative_error
from region_texts import ATTEND, WRITE
from triton_regions import TritonRegion

from tapeout.codegen.triton.kernel import Steps
from tapeout.ir.cache import TokenCache

TOLERANCE = {"f32": 2e-6, "bf16": 1.2e-2}  # where Triton's interpreter cuts, machines round
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
PAGE = 16


class Attention:
    """The kernels that write a cache and read it; sequences are packed in one step."""

    def __init__(
        self, steps, d="f32", h=4, hk=2, dim=40, dv=None, scale=0.3, window=None, softcap=None,
        sinks=False,
    ):  # fmt: skip
        dv = dv or dim
        self.shape, self.window, self.dtype = (h, hk, dim, dv), window, DTYPES[d]
        options = options_of(window=window, softcap=softcap)
        texts = {"d": d, "h": h, "hk": hk, "dim": dim, "dv": dv, "scale": scale}
        texts |= {"sinks": f", %sinks: {d}[{h}]" if sinks else "", "use": ", %sinks" * sinks}
        self.write = TritonRegion(WRITE.format(**texts), steps)
        self.attend = TritonRegion(ATTEND.format(**texts, options=options), steps)
        torch.manual_seed(0)
        self.sinks = [torch.randn(h).to(self.dtype)] if sinks else []

    def error(self, contexts, counts):
        """How far `counts[i]` tokens after `contexts[i]` others of sequence i are off."""
        return relative_error(*self.run(contexts, counts))

    def run(self, contexts, counts):
        """Their results, of the kernel and of the interpreter; the same for equal lengths."""
        torch.manual_seed(0)
        h, hk, dim, dv = self.shape
        lengths = [a + b for a, b in zip(contexts, counts, strict=True)]
        q, k, v = (
            torch.randn(sum(lengths), *s).to(self.dtype) for s in ((h, dim), (hk, dim), (hk, dv))
        )
        where, symbols = packed([0] * len(lengths), lengths)
        num_pages = 1 + where[2].numel()
        cache = torch.full([num_pages * PAGE * hk * (dim + dv)], torch.nan, dtype=self.dtype)
        self.write.run([cache, k, v, *where], symbols)
        pages = TokenCache()
        self.write.reference([pages, k, v, *where], symbols)
        self._forget(cache.view(num_pages, -1), contexts, where[2])
        new = torch.cat([torch.arange(n) >= c for n, c in zip(lengths, contexts, strict=True)])
        where, symbols = packed(contexts, counts)
        starts = torch.tensor([0, *counts]).cumsum(0).int()
        inputs = {"query_start": starts, "context_lengths": torch.tensor(lengths).int()}
        q = q[new].contiguous()
        [found] = self.attend.run([q, cache, *where, *self.sinks], symbols, inputs)
        [wanted] = self.attend.reference([q, pages, *where, *self.sinks], symbols)
        return found, wanted

    def _forget(self, cache, contexts, table):
        """Leaves NaN in pages that are before every window of a sequence's new tokens."""
        for row, context in zip(table, contexts, strict=True):
            gone = max(context + 1 - self.window, 0) // PAGE if self.window else 0
            cache[row[:gone].long()] = torch.nan


PREFILLS = {
    "64 wide": {},
    "80 wide": {"dim": 80},
    "96 wide": {"dim": 96},
    "128 wide": {"dim": 128},
    "256 wide": {"dim": 256},
    "three heads": {"h": 6},
    "as many key heads": {"h": 2},
    "window": {"window": 200},
    "softcap": {"softcap": 2.0, "dim": 256},
    "sinks": {"sinks": True},
    "window, softcap and sinks": {"window": 70, "softcap": 2.0, "sinks": True, "dim": 128},
    "24 wide, window of a few": {"window": 5, "dim": 24},
    "256 wide, window and softcap": {"window": 200, "softcap": 2.0, "dim": 256},
}


def attention_of(steps, case):
    """Hot scores: where a wrong one counts."""
    shape = {"h": 8, "hk": 2, "dim": 64} | PREFILLS[case]
    return Attention(steps, "bf16", scale=3 * shape["dim"] ** -0.5, **shape)


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
  %v0: {d}[T, {vd}] = slice(%x) {{axis = 1, start = {hkd}, stop = {n}}}
  %v: {d}[T, {hk}, {dv}] = reshape(%v0) {{shape = [<T>, {hk}, {dv}]}}
  %new: state[] = kv_write(%cache, %k, %v, %positions, %sequence_ids, %table)
    {{group = "full", layer = 0}}
  %y: {d}[T, {h}, {dv}] = paged_attention(%q, %new, %positions, %sequence_ids, %table)
    {{group = "full", layer = 0, num_key_heads = {hk}, scale = 0.3, value_dim = {dv}{options}}}
  return %new, %y
}}
"""


class Joined:
    """A region that makes its queries, or only cuts them out, writes the cache and reads it."""

    def __init__(self, steps, d, h=6, hk=2, dim=64, dv=None, is_cut=False, **asked):
        dv = dv or dim
        self.steps, self.dtype, self.shape = steps, DTYPES[d], (h, hk, dim, dv)
        sizes = {"h": h, "hk": hk, "dim": dim, "hd": h * dim, "kd": hk * dim, "half": dim // 2}
        sizes |= {"dv": dv, "vd": hk * dv, "n": (h + hk) * dim + hk * dv, "hkd": (h + hk) * dim}
        text = JOINED.format(d=d, options=options_of(**asked), **sizes)
        text = _cut(text) if is_cut else text
        self.region, self.of_prompts = TritonRegion(text, steps), TritonRegion(text, Steps("any"))

    def errors(self, contexts):
        """How far each of two steps is off: prompts as long as the longest context, packed, then a
        token of each sequence after its own."""
        torch.manual_seed(0)
        h, hk, dim, dv = self.shape
        contexts = contexts[: self.steps.max_rows or len(contexts)]
        width = max(contexts) // PAGE + 2
        num_pages = 1 + len(contexts) * width
        cache = torch.zeros(num_pages * PAGE * hk * (dim + dv), dtype=self.dtype)
        gain, pages = torch.rand(dim).to(self.dtype), TokenCache()
        for before, count in (([0] * len(contexts), max(contexts)), (contexts, 1)):
            if not count:
                continue
            where, symbols = packed(before, [count] * len(contexts), width)
            widths = ((h + hk) * dim + hk * dv, dim // 2, dim // 2)
            x, cos, sin = (torch.randn(symbols["T"], n).to(self.dtype) for n in widths)
            inputs = {
                "query_start": torch.arange(symbols["S"] + 1).int() * count,
                "context_lengths": torch.tensor(before).int() + count,
            }
            takes_it = count == 1 or not self.steps.one_token_each
            region = self.region if takes_it else self.of_prompts
            [found] = region.run([x, gain, cos, sin, cache, *where], symbols, inputs)
            _, wanted = region.reference([x, gain, cos, sin, pages, *where], symbols)
            yield relative_error(found, wanted)


def _cut(text):
    """The region without norm and rotation."""
    plain = re.sub(r".* = (rms_norm|rope)\(.*\n", "", text)
    return plain.replace("%q1:", "%q:").replace("%k1:", "%k:")


def options_of(**asked):
    """Attributes of attention as text: those that have a value."""
    return "".join(f", {name} = {value}" for name, value in asked.items() if value)


def packed(contexts, counts, width=None):
    """Positions, sequence ids and block table of a step, and its sizes."""
    positions = torch.cat([torch.arange(c, c + n) for c, n in zip(contexts, counts, strict=True)])
    ids = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    width = width or max(a + b for a, b in zip(contexts, counts, strict=True)) // PAGE + 2
    order = torch.randperm(len(counts) * width, generator=torch.Generator().manual_seed(1))
    table = 1 + order.reshape(len(counts), width)
    symbols = {"T": sum(counts), "S": len(counts), "P": width}
    return [positions.int(), ids.int(), table.int()], symbols
