"""What the sampling ops say of a row."""

import math

import torch

from tapeout.ir.ops import sampling_reference as reference
from tapeout.ir.ops.random import gumbel
from tapeout.ir.ops.sampling_reference import Penalties

ROW = torch.tensor([0.5, 2.0, -1.0, 2.0])
ONE = torch.tensor(1.0)


def left(scores):
    return (scores > -math.inf).nonzero()[:, 0].tolist()


def test_a_mask_keeps_the_tokens_whose_bits_are_set():
    assert left(reference.mask_row(torch.zeros(40), torch.tensor([5, 1 << 7]))) == [0, 2, 39]


def test_an_edit_counts_before_its_end_and_after_its_prefix():
    tokens = torch.tensor([7, 8])
    edits = [(0, 1.0, 2, []), (1, 1.0, 3, [8]), (2, 1.0, 3, [7]), (3, 1.0, 9, [6, 7, 8])]
    assert (reference.edit_row(ROW, tokens, edits) - ROW).tolist() == [0, 1, 0, 0]


def test_repetition_counts_the_prompt_and_the_others_the_output_alone():
    tokens = torch.tensor([2, 0, 1, 1])
    found = reference.penalize_row(ROW, tokens, 2, Penalties(2.0, 0.25, 0.5))
    assert found.tolist() == [0.25, 1.0 - 1.0 - 0.25, -2.0, 2.0]


def test_equal_scores_stay_together():
    assert left(reference.restrict_row(ROW, ONE, 1, 1.0, 0.0)) == [1, 3]
    assert left(reference.restrict_row(ROW, ONE, 0, 0.1, 0.0)) == [1, 3]
    assert left(reference.restrict_row(ROW, ONE, 0, 1.0, 1.0)) == [1, 3]


def test_top_p_is_of_what_top_k_leaves():
    row = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    assert left(reference.restrict_row(row, ONE, 0, 0.65, 0.0)) == [0, 1]
    assert left(reference.restrict_row(row, ONE, 2, 0.55, 0.0)) == [0]


def test_temperature_zero_is_not_restricted():
    assert torch.equal(reference.restrict_row(ROW, torch.tensor(0.0), 1, 0.1, 0.9), ROW)


def test_nothing_left_is_no_token():
    assert reference.choose(torch.full((4,), -math.inf), 1.0, 1, 1) == -1


def test_draws_follow_the_softmax_of_the_scores():
    scores = torch.tensor([0.0, 1.0, 2.0])
    tokens = torch.tensor([reference.choose(scores, 1.0, i, i) for i in range(4000)])
    found = torch.bincount(tokens, minlength=3) / 4000
    torch.testing.assert_close(found, torch.softmax(scores, 0), atol=0.03, rtol=0)


def test_draws_from_several_spans_follow_the_softmax_across_them_and_within_them():
    scores = torch.full((2500,), -math.inf)
    scores[[5, 6, 1024, 2499]] = torch.tensor([0.0, 1.0, 2.0, -1.0])
    tokens = torch.tensor([reference.choose(scores, 1.0, i, i) for i in range(4000)])
    found = torch.bincount(tokens, minlength=2500) / 4000
    torch.testing.assert_close(found, torch.softmax(scores, 0), atol=0.03, rtol=0)


def test_a_row_of_one_span_is_drawn_by_the_noise_of_its_places_alone():
    scores = torch.randn(1024, generator=torch.Generator().manual_seed(1))
    found = [reference.choose(scores, 1.0, i, 3) for i in range(50)]
    assert found == [int((scores + gumbel(i, 3, 1024)).argmax()) for i in range(50)]


def test_ranks_count_strictly_larger_logits_and_the_lowest_id_comes_first():
    logprob, rank, ids, _ = reference.rank_row(ROW, 3)
    assert rank == 1 and ids.tolist() == [1, 3, 0, 2]
    assert abs(logprob - float(ROW.log_softmax(0)[3])) < 1e-6
