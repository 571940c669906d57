"""Sampling on a GPU is its definition: rows of all features, interpreted by Triton."""

import numpy as np
import pytest
import torch
from sampling_rows import Row, edits_of, mask_of, region_text
from triton_regions import TritonRegion
from triton_sampling import VOCAB, check, mixed_row, run, tied_row

from tapeout import settings
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS
from tapeout.runtime.frame import Sampling

TARGET = "cuda:sm_90"


def test_rows_that_want_different_things_are_those_of_the_interpreter():
    rng = np.random.default_rng(0)
    rows = [mixed_row(rng, i) for i in range(24)]
    logits = 3 * torch.randn(24, VOCAB, generator=torch.Generator().manual_seed(1))
    check(logits, rows)


def test_equal_scores_stay_together():
    check(*tied_row(VOCAB))


def test_scores_that_are_equal_though_their_logits_are_not_stay_together():
    near = torch.tensor([1.0]).view(torch.int32) + torch.arange(-8, 8, dtype=torch.int32)
    logits = torch.full((40, VOCAB), -5.0)
    logits[:, 1016:1032] = near.view(torch.float32)
    sets = [{"top_k": 1 + i % 16, "temperature": 1.3 + i / 10} for i in range(40)]
    assert any((logits[0] / s["temperature"]).unique().numel() < 17 for s in sets)
    check(logits, [Row(Sampling(seed=i, num_logprobs=0, **s)) for i, s in enumerate(sets)])


@pytest.mark.parametrize("vocab_size", [2, 515, 5001])
def test_every_size_of_vocabulary_will_do(vocab_size):
    rng = np.random.default_rng(vocab_size)
    rows = [Row(mixed_row(rng, 1, vocab_size).sampling) for _ in range(4)]
    check(3 * torch.randn(4, vocab_size, generator=torch.Generator().manual_seed(1)), rows)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_kernel_has_more_threads_than_a_block_can(target):
    for vocab_size in (515, 50257, 262144):
        region = TritonRegion(region_text(vocab_size), Steps("any", target=target))
        assert all(k.num_warps * target.warp_size <= 1024 for k in region.emitted.kernels)


@pytest.mark.parametrize("vocab_size", [4097, 50257])
def test_no_kernel_spills_where_rows_of_logits_are_not_aligned(vocab_size):
    steps = Steps("any", target=TARGETS[TARGET])
    emitted = TritonRegion(region_text(vocab_size), steps).emitted
    kernels = {f"sample{kernel.suffix}": kernel for kernel in emitted.kernels}
    compiled = compile_kernels(kernels, TARGET, settings.CACHE.get() / "objects")
    assert {name: k.local_bytes for name, k in compiled.items()} == dict.fromkeys(kernels, 0)


def test_edits_of_one_token_are_added_in_their_order():
    edits = edits_of(*((3, value) for value in (1e8, 1.0, -1e8, 0.25)), (8, 1.0), (8, 9.0, 1))
    found, _ = run(torch.zeros(1, VOCAB), [Row(Sampling(edits=edits), [1])])
    assert found["tokens"].tolist() == [8]  # 1e8 + 1 is 1e8


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
