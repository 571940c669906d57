"""Sampling on a GPU is its definition: the same rows as for the kernel of CPUs."""

import numpy as np
import torch
from sampling_rows import Row, _named, edits_of, mask_of, operands, region_text
from triton_regions import VARIANTS, TritonRegion

from tapeout.runtime.frame import Sampling

VOCAB = 515
NAMES = ("tokens", "token_table", "ranks", "top_token_ids")


def run(logits, rows, slots=None):
    """What the kernels give, and what the definition gives."""
    region = TritonRegion(region_text(logits.shape[1]), VARIANTS[-1])
    arguments, sizes = operands(region.function.params, logits, rows, slots)
    wanted, _ = operands(region.function.params, logits, rows, slots)
    found = _named(region, arguments, region.run(arguments, sizes))
    [tickets] = region.emitted.tickets
    assert not region.workspaces[tickets].any()
    return found, _named(region, wanted, region.reference(wanted, sizes))


def mixed_row(rng, i):
    edits = edits_of((3, 5.0), (4, -np.inf, 12), (5, 2.0, 100, (1, 2)), (5, 4.5, 100, (1,)))
    sampling = Sampling(
        temperature=float(rng.choice([0, 0.7, 1.3])),
        top_k=int(rng.choice([0, 1, 7, 50])),
        top_p=float(rng.choice([1, 0.9, 0.3])),
        min_p=float(rng.choice([0, 0.05])),
        seed=int(rng.integers(-(2**62), 2**62)),
        repetition_penalty=float(rng.choice([1, 1.3, 0.8])),
        presence_penalty=float(rng.choice([0, 0.5])),
        frequency_penalty=float(rng.choice([0, 0.25, -0.3])),
        num_logprobs=5,
        num_prompt_logprobs=5,
        edits=edits if i % 3 == 0 else None,
        mask=mask_of(VOCAB, range(i, VOCAB, 2)) if i % 4 == 0 else None,
    )
    tokens = rng.integers(0, VOCAB, rng.integers(0, 40)).tolist() + [1, 2] * (i % 2)
    return Row(sampling, tokens, len(tokens) // 2, target=9 if i % 10 == 9 else -1)


def test_rows_that_want_different_things_are_those_of_the_interpreter():
    rng = np.random.default_rng(0)
    rows = [mixed_row(rng, i) for i in range(24)]
    logits = 3 * torch.randn(24, VOCAB, generator=torch.Generator().manual_seed(1))
    found, wanted = run(logits, rows)
    for name in NAMES:
        assert torch.equal(found[name], wanted[name]), name
    for name in ("chosen_logprobs", "top_logprobs"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-5)


def test_greedy_rows_take_the_lowest_place_of_equals_and_rows_that_are_not_finite_nothing():
    logits = torch.randn(4, 5000, generator=torch.Generator().manual_seed(1))
    logits[0, 100] = logits[0, 4500] = 99.0
    logits[1, 4999], logits[2, 0] = float("nan"), float("inf")
    found, _ = run(logits, [Row(), Row(), Row(target=2), Row(target=7)], slots=range(4))
    assert found["tokens"].tolist() == [100, -1, -1, 7]
    assert found["token_table"].tolist() == [100, 0, 2, 7]


def test_nothing_allowed_gives_minus_one():
    rows = [Row(Sampling(temperature=t, mask=mask_of(VOCAB, []))) for t in (0.0, 1.0)]
    rows += [Row(Sampling(temperature=1.0, top_p=0.5, top_k=3, mask=mask_of(VOCAB, [])))]
    assert run(torch.zeros(3, VOCAB), rows)[0]["tokens"].tolist() == [-1, -1, -1]
