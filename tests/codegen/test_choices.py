import random

import pytest
import torch
from region_kernels import Region, usable_levels

from tapeout.codegen.cpp.choices import BUCKETS, KNOBS, candidates, default_configuration
from tapeout.codegen.cpp.emit import emit_region
from tapeout.codegen.packing import pack_rows16
from tapeout.codegen.tuning_key import key_of
from tapeout.errors import BuildError
from tapeout.ir.parser import parse_function

GATED = """
func @gated(%x: bf16[T, {k}], %w: bf16[{n}, {k}], %v: bf16[{n}, {k}]) {{anchor = "linear"}} {{
  %g: bf16[T, {n}] = linear(%x, %w)
  %s: bf16[T, {n}] = silu(%g)
  %u: bf16[T, {n}] = linear(%x, %v)
  %y: bf16[T, {n}] = mul(%s, %u)
  return %y
}}
"""
N, K = 200, 70
TEXT = GATED.format(n=N, k=K)
FUNCTION = parse_function(TEXT)


def asked(level, configurations):
    """One configuration for each bucket."""
    pairs = zip(BUCKETS, configurations, strict=True)
    return {level: {key_of(FUNCTION, bucket.name, True): found for bucket, found in pairs}}


def results(region, rows):
    torch.manual_seed(rows)
    x, w, v = (torch.randn(size, K).to(torch.bfloat16) for size in (rows, N, N))
    return region.run([x, pack_rows16(w), pack_rows16(v)], {"T": rows}, num_threads=2)[0]


def test_every_choice_gives_the_same_bits():
    [level, *_] = usable_levels()
    usual, chance = Region(TEXT, level), random.Random(0)
    for _ in range(6):
        drawn = [chance.choice(list(candidates(bucket))) for bucket in BUCKETS]
        tuned = Region(TEXT, level, asked=asked(level, drawn))
        for rows in (1, 2, 4, 5, 8, 13, 16, 29, 96, 97, 200):
            assert torch.equal(results(tuned, rows), results(usual, rows)), (drawn, rows)


def test_a_bucket_may_have_our_own_choice_and_it_is_a_candidate():
    for bucket in BUCKETS:
        found = list(candidates(bucket))
        assert default_configuration(bucket) in found
        assert all(configuration.keys() == KNOBS.keys() for configuration in found)
        assert len(found) == len({tuple(c.values()) for c in found})


def test_a_kernel_holds_what_was_asked_for_beside_our_own_choices():
    changed = dict(default_configuration(BUCKETS[0]), prefetch=64)
    key = key_of(FUNCTION, BUCKETS[0].name, True)
    source = emit_region(FUNCTION, frozenset("wv"), {"x86-64-v4": {key: changed}}).source
    assert "{LEVEL_V4, 1, 2, 96, {12, 4, 64}}" in source
    assert source.count("ANY_LEVEL") == len(BUCKETS)


def test_what_is_asked_for_other_work_changes_nothing():
    other = parse_function(GATED.format(n=N, k=K + 2))
    key = key_of(other, BUCKETS[0].name, True)
    found = emit_region(FUNCTION, frozenset("wv"), {"x86-64-v4": {key: {"prefetch": 64}}})
    assert found == emit_region(FUNCTION, frozenset("wv"))


@pytest.mark.parametrize(
    "wrong",
    [{"prefetch": 7}, {"tile_rows": 1000}, {"unit_blocks": 0}, {"columns": 1}],
)
def test_a_configuration_that_a_kernel_cannot_have_is_refused_by_name_and_field(wrong):
    configuration = default_configuration(BUCKETS[0]) | wrong
    key = key_of(FUNCTION, BUCKETS[0].name, True)
    [field] = wrong
    with pytest.raises(BuildError, match=f"gated cannot have .*: {field} (may be|is none of)"):
        emit_region(FUNCTION, frozenset("wv"), {"x86-64-v4": {key: configuration}})
