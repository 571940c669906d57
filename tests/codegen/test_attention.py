from functools import cache

import pytest
import torch
from region_kernels import Region, regions_of, relative_error
from region_texts import ATTEND, WRITE

from tapeout.errors import UnsupportedModelError
from tapeout.ir.cache import TokenCache

TOLERANCE = {"f32": 2e-6, "bf16": 6e-3}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
PAGE, NUM_PAGES, WIDTH = 16, 50, 12


class Attention:
    """The two kernels around a cache; `lengths` sequences are packed in one step."""

    def __init__(self, d="f32", h=4, hk=2, dim=40, dv=40, options="", sinks=False):
        self.shape, self.dtype = (h, hk, dim, dv), DTYPES[d]
        texts = {"d": d, "h": h, "hk": hk, "dim": dim, "dv": dv, "options": options, "scale": 0.3}
        texts |= {"sinks": f", %sinks: {d}[{h}]" if sinks else "", "use": ", %sinks" * sinks}
        self.texts = [WRITE.format(**texts), ATTEND.format(**texts)]
        self.write = self.attend = None
        self.sinks = [torch.randn(h).to(self.dtype)] if sinks else []

    def data(self, lengths):
        torch.manual_seed(0)
        h, hk, dim, dv = self.shape
        total = sum(lengths)
        shapes = ((total, h, dim), (total, hk, dim), (total, hk, dv))
        return [torch.randn(*shape).to(self.dtype) for shape in shapes]

    def cache(self):
        h, hk, dim, dv = self.shape
        return torch.zeros(NUM_PAGES * PAGE * hk * (dim + dv), dtype=self.dtype)

    def step(self, cache, qkv, starts, counts, num_threads=1, reference=False):
        """One step: `counts[i]` tokens of sequence i from position `starts[i]` on."""
        positions = torch.cat([torch.arange(s, s + n) for s, n in zip(starts, counts, strict=True)])
        ids = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        table = torch.arange(1, 1 + len(counts) * WIDTH).reshape(len(counts), WIDTH)
        where = [positions.int(), ids.int(), table.int()]
        symbols = {"T": sum(counts), "S": len(counts), "P": WIDTH}
        q, k, v = (x.contiguous() for x in qkv)
        if reference:
            self.write.reference([cache, k, v, *where], symbols)
            return self.attend.reference([q, cache, *where, *self.sinks], symbols)[0]
        starts = torch.tensor([0, *counts]).cumsum(0).int()
        self.write.run([cache, k, v, *where], symbols, num_threads=num_threads)
        inputs = {"query_start": starts}
        arguments = [q, cache, *where, *self.sinks]
        return self.attend.run(arguments, symbols, inputs, num_threads)[0]


CASES = {
    "grouped heads": {},
    "one head": {"h": 1, "hk": 1, "dim": 8, "dv": 8},
    "wide": {"h": 3, "hk": 1, "dim": 256, "dv": 256},
    "very wide values": {"h": 1, "hk": 1, "dim": 16, "dv": 530},
    "odd": {"h": 2, "hk": 1, "dim": 6, "dv": 7},
    "other width of values": {"dim": 24, "dv": 88},
    "window": {"options": ", window = 20"},
    "window, softcap and sinks": {"options": ", window = 70, softcap = 2.0", "sinks": True},
}


@cache
def attentions(level, dtype):
    """Those of all cases, whose kernels are compiled together."""
    made = {case: Attention(dtype, **CASES[case]) for case in CASES}
    regions = iter(regions_of([text for one in made.values() for text in one.texts], level))
    for one in made.values():
        one.write, one.attend = next(regions), next(regions)
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_attention_over_pages_is_that_of_the_interpreter(level, dtype, case):
    attention, lengths = attentions(level, dtype)[case], [1, 17, 70, 90]
    qkv = attention.data(lengths)
    found = attention.step(attention.cache(), qkv, [0] * 4, lengths, 2)
    wanted = attention.step(TokenCache(), qkv, [0] * 4, lengths, reference=True)
    assert relative_error(found, wanted) <= TOLERANCE[dtype]


def test_odd_heads_are_refused_where_keys_are_stored_in_pairs():
    with pytest.raises(UnsupportedModelError, match="heads of 5 elements, .* with dtype=float32"):
        Region(Attention("bf16", dim=5).texts[1], "x86-64-v3")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["grouped heads", "window, softcap and sinks"])
def test_a_token_is_bitwise_equal_however_its_prompt_is_cut(level, dtype, case):
    attention, length = attentions(level, dtype)[case], 130
    qkv = attention.data([length])
    whole = attention.step(attention.cache(), qkv, [0], [length], 2)
    for chunk in (1, 13, 64):
        cache, parts = attention.cache(), []
        for start in range(0, length, chunk):
            part = [x[start : start + chunk] for x in qkv]
            parts.append(attention.step(cache, part, [start], [len(part[0])]))
        assert torch.equal(torch.cat(parts), whole)
