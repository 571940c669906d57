"""The sampling kernel is its definition, at every level, for rows that want different things."""

import numpy as np
import pytest
import torch
from sampling_rows import PARTS, Row, edits_of, interpret, mask_of, run

from tapeout.runtime.frame import Sampling

VOCAB = 2563  # three spans
NAMES = ("tokens", "token_table", "ranks", "top_token_ids")


def mixed_rows(count=48):
    """Rows over all features, and their logits."""
    rng = np.random.default_rng(0)
    return 3 * torch.randn(count, VOCAB, generator=torch.Generator().manual_seed(1)), [
        mixed_row(rng, i) for i in range(count)
    ]


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


def test_each_result_is_that_of_the_interpreter(level):
    logits, rows = mixed_rows()
    found, wanted = run(logits, rows, level=level), interpret(logits, rows)
    assert all(torch.equal(found[name], wanted[name]) for name in NAMES)
    for name in ("chosen_logprobs", "top_logprobs"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_the_scores_of_each_part_are_exactly_those_of_the_interpreter(part, level):
    logits, rows = mixed_rows()
    assert torch.equal(run(logits, rows, part, level), interpret(logits, rows, part))


def test_a_row_is_bitwise_equal_alone_and_among_others_and_for_any_number_of_threads():
    logits, rows = mixed_rows()
    whole = run(logits, rows, num_threads=2)
    again = run(logits, rows, slots=range(len(rows)))
    alone = [run(logits[i : i + 1], rows[i : i + 1]) for i in range(len(rows))]
    for name in whole.keys() - {"token_table"}:
        assert torch.equal(whole[name], again[name])
        assert torch.equal(whole[name], torch.cat([one[name] for one in alone]))


def test_greedy_rows_take_the_largest_and_the_lowest_place_of_equals(level):
    logits, rows = mixed_rows()
    logits[5, 100] = logits[5, 400] = 99.0
    tokens = run(logits, [Row() for _ in rows], level=level)["tokens"].tolist()
    assert tokens == logits.argmax(-1).tolist() and tokens[5] == 100


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 15, 1023, 2562])
def test_a_logit_that_is_not_finite_gives_minus_one_and_moves_no_other_row(value, place, level):
    logits, rows = mixed_rows()
    sound = run(logits, rows, level=level)
    logits[7, place] = logits[9, place] = value
    found = run(logits, rows, level=level)
    others = [i for i in range(len(rows)) if i not in (7, 9)]
    assert found["tokens"][7] == found["tokens"][9] == -1
    for name in found.keys() - {"token_table"}:
        assert torch.equal(found[name][others], sound[name][others])


def test_tokens_go_into_the_token_table_and_zero_for_what_could_not_be_chosen():
    logits = torch.tensor([[1.0, 3.0, 2.0]] * 4)
    logits[2:, 0] = float("nan")
    rows = [Row(), Row(target=2), Row(), Row(target=2)]
    found = run(logits, rows, slots=range(4))
    assert found["tokens"].tolist() == [1, 2, -1, -1]
    assert found["token_table"].tolist() == [1, 2, 0, 2]


def test_nothing_allowed_gives_minus_one():
    rows = [Row(Sampling(temperature=t, mask=mask_of(VOCAB, []))) for t in (0.0, 1.0)]
    rows += [Row(Sampling(temperature=1.0, top_p=0.5, top_k=3, mask=mask_of(VOCAB, [])))]
    assert run(torch.zeros(3, VOCAB), rows)["tokens"].tolist() == [-1, -1, -1]


def test_a_vocabulary_below_twenty_fills_the_most_probable_up_with_minus_one():
    found = run(torch.tensor([[1.0, 3.0, 2.0]]), [Row(Sampling(num_logprobs=1))])
    assert found["top_token_ids"][0].tolist() == [1, 2, 0] + [-1] * 17
