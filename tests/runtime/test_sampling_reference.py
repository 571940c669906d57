"""The compiled sampling kernel against plain numpy: sets and adjusted logits exactly, draws by
their frequencies."""

import msgspec
import numpy as np
import pytest
import sampling_numpy
import torch
from sampling_rows import Row, edits_of, mask_of, run

from tapeout.ir.ops.random import OF_SPANS, gumbel
from tapeout.runtime.frame import Sampling

VOCAB, NUM_ROWS = 61, 2_500
LONG, EDGES = 3 * 1024 + 77, [0, 1023, 3072, 3148]
TOP_P = (1e-30, 1e-6, 0.1, 0.5, 0.9, 0.999, 1 - 2**-24, 1.0)


def f32(value):
    """As an artifact's tables hold it."""
    return float(np.float32(value))


def normal(rng):
    return rng.normal(0, 3, VOCAB)


def grid(rng):
    return rng.integers(-6, 7, VOCAB) / rng.choice([1, 4, 64])


def flat(rng):
    return np.full(VOCAB, rng.normal())


def one_hot(rng):
    return np.where(np.arange(VOCAB) == rng.integers(VOCAB), rng.choice([1e-3, 20, 1e37]), -0.0)


def extreme(rng):
    return rng.choice([1e37, -1e37, 1e4, 1e-40, -1e-40, 0.0, -0.0, 1.0], VOCAB)


def banned(rng):
    return np.where(rng.random(VOCAB) < rng.random(), -np.inf, grid(rng))


def random_sets(rng):
    """Each limit is off in half of the rows."""
    top_k = rng.choice([1, 2, rng.integers(1, VOCAB), VOCAB - 1, VOCAB, VOCAB + 9])
    min_p = rng.choice([1e-30, 0.01, 0.3, 1.0, rng.random()])
    return Sampling(
        temperature=f32(rng.choice([0.05, 0.7, 1.0, 3.0])),
        top_k=int(top_k) if rng.random() < 0.5 else 0,
        top_p=f32(rng.choice([*TOP_P, rng.random()])) if rng.random() < 0.7 else 1.0,
        min_p=f32(min_p) if rng.random() < 0.5 else 0.0,
    )


def assert_sets_are_exact(logits, samplings):
    found = run(torch.from_numpy(logits), [Row(s) for s in samplings], "restricted").numpy()
    pairs = zip(logits, samplings, strict=True)
    wanted = np.array([sampling_numpy.scores(*pair) for pair in pairs])
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("draw", [normal, grid, flat, one_hot, extreme, banned])
def test_the_sets_of_random_rows_with_many_ties_are_exact(draw):
    rng = np.random.default_rng(list(draw.__name__.encode()))
    logits = np.array([draw(rng) for _ in range(NUM_ROWS)], np.float32)
    assert_sets_are_exact(logits, [random_sets(rng) for _ in logits])


def test_the_sets_of_long_rows_are_exact():
    rng = np.random.default_rng(1)
    logits = rng.normal(-90, rng.choice([0.1, 1, 5], (150, 1)), (150, 5003)).astype(np.float32)
    assert_sets_are_exact(logits, [random_sets(rng) for _ in logits])


def random_edits(rng, tokens):
    """Biases, bans, what a minimum length bans, and bad words of up to three tokens."""
    entries = []
    for _ in range(rng.integers(1, 30)):
        prefix = rng.integers(0, 3, rng.integers(0, 3)).tolist()
        if tokens and rng.random() < 0.3:
            prefix = tokens[-rng.integers(1, len(tokens) + 1) :]
        end = rng.choice([1 << 30, 0, len(tokens), len(tokens) + 1])
        value = rng.choice([-np.inf, -100, 100, rng.normal()])
        entries.append((int(rng.integers(VOCAB)), value, int(end), tuple(prefix)))
    return edits_of(*entries)


def random_adjustments(rng):
    tokens = rng.integers(0, rng.choice([3, VOCAB]), rng.integers(0, 40)).tolist()
    sampling = Sampling(
        temperature=1.0,
        repetition_penalty=f32(rng.choice([1.0, 0.7, 1.1, 2.0])),
        presence_penalty=f32(rng.choice([0.0, -2.0, 0.3])),
        frequency_penalty=f32(rng.choice([0.0, -0.1, 0.7])),
        edits=random_edits(rng, tokens) if rng.random() < 0.6 else None,
        mask=mask_of(VOCAB, np.flatnonzero(rng.random(VOCAB) < 0.7))
        if rng.random() < 0.3
        else None,
    )
    return Row(sampling, tokens, int(rng.integers(0, len(tokens) + 1)))


def test_penalties_biases_bans_bad_words_and_masks_are_exact():
    rng = np.random.default_rng(2)
    logits = np.array([rng.choice([normal, grid])(rng) for _ in range(2_000)], np.float32)
    rows = [random_adjustments(rng) for _ in logits]
    found = run(torch.from_numpy(logits), rows, "adjusted").numpy()
    wanted = np.array(
        [
            sampling_numpy.adjusted(x, row.sampling, row.tokens, row.num_prompt_tokens)
            for x, row in zip(logits, rows, strict=True)
        ]
    )
    np.testing.assert_array_equal(found, wanted)


def with_sets(rng, sampling):
    limits = random_sets(rng)
    return msgspec.structs.replace(
        sampling,
        seed=int(rng.integers(-(2**63), 2**63)),
        temperature=limits.temperature,
        top_k=limits.top_k,
        top_p=limits.top_p,
        min_p=limits.min_p,
    )


def assert_tokens_are_those_of_their_noise(logits, rows):
    found = run(torch.from_numpy(logits), rows)["tokens"].tolist()
    assert found == [chosen(*pair) for pair in zip(logits, rows, strict=True)]


def chosen(x, row):
    x = sampling_numpy.adjusted(x, row.sampling, row.tokens, row.num_prompt_tokens)
    seed, position = row.sampling.seed, len(row.tokens)
    noise_of_spans = gumbel(seed, position, -(-len(x) // 1024), OF_SPANS).numpy()
    z, noise = sampling_numpy.scores(x, row.sampling), gumbel(seed, position, len(x)).numpy()
    return sampling_numpy.drawn(z, noise_of_spans, noise)


def test_a_token_is_the_largest_of_the_scores_and_the_noise_of_its_seed_and_position():
    rng = np.random.default_rng(3)
    logits = np.array([normal(rng) for _ in range(500)], np.float32)
    rows = [random_adjustments(rng) for _ in logits]
    for row in rows:
        row.sampling = with_sets(rng, row.sampling)
    assert_tokens_are_those_of_their_noise(logits, rows)


def test_a_token_of_a_long_row_is_the_largest_of_the_span_whose_mass_and_noise_are():
    rng = np.random.default_rng(4)
    logits = rng.normal(-90, rng.choice([0.1, 1, 5], (200, 1)), (200, LONG)).astype(np.float32)
    few = mask_of(LONG, EDGES)
    samplings = [Sampling(mask=few if i % 3 == 0 else None) for i in range(len(logits))]
    rows = [Row(with_sets(rng, sampling), [1] * (i % 7)) for i, sampling in enumerate(samplings)]
    assert_tokens_are_those_of_their_noise(logits, rows)


SMALL = np.array([2.0, 1.0, 1.0, 0.5, 0.0, 0.0, -1.0, -3.0, 0.25, 0.25, 1.5], np.float32)
TOKENS, NUM_PROMPT_TOKENS = [0, 4, 4, 1, 1, 10], 2
FEATURES = {
    "nothing": Sampling(temperature=1.0),
    "a low temperature": Sampling(temperature=0.5),
    "a high temperature": Sampling(temperature=3.0),
    "top-k": Sampling(temperature=1.0, top_k=3),
    "top-p": Sampling(temperature=1.0, top_p=0.7),
    "min-p": Sampling(temperature=1.0, min_p=0.2),
    "all sets": Sampling(temperature=1.5, top_k=8, top_p=0.9, min_p=0.1),
    "logit bias": Sampling(temperature=1.0, edits=edits_of((7, 4.0), (0, -1.0))),
    "bans": Sampling(temperature=1.0, edits=edits_of((0, -np.inf), (2, -np.inf))),
    "a bad word": Sampling(temperature=1.0, edits=edits_of((0, -np.inf, 1 << 30, (1, 10)))),
    "a mask": Sampling(temperature=1.0, mask=mask_of(11, [1, 3, 5, 10])),
    "repetition penalty": Sampling(temperature=1.0, repetition_penalty=1.5),
    "presence penalty": Sampling(temperature=1.0, presence_penalty=1.0),
    "frequency penalty": Sampling(temperature=1.0, frequency_penalty=0.6),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_draws_have_the_frequencies_of_the_reference_and_reach_its_whole_set(feature):
    count, sampling = 6_000, FEATURES[feature]
    rows = [
        Row(msgspec.structs.replace(sampling, seed=seed), TOKENS, NUM_PROMPT_TOKENS)
        for seed in range(count)
    ]
    tokens = run(torch.from_numpy(SMALL).expand(count, -1), rows)["tokens"].numpy()
    wanted = sampling_numpy.probabilities(SMALL, sampling, TOKENS, NUM_PROMPT_TOKENS) * count
    found = np.bincount(tokens, minlength=len(SMALL))
    assert found[wanted > 20].all() and not found[wanted == 0].any()
    assert_likely(found, wanted)


def assert_likely(found, wanted):
    """By the chi-square test, of how often each of several things is found; rare ones are one."""
    rare = wanted <= 5
    found, wanted = (np.append(counts[~rare], counts[rare].sum()) for counts in (found, wanted))
    there = wanted > 0
    statistic = ((found - wanted)[there] ** 2 / wanted[there]).sum()
    freedom = torch.tensor(max(1, there.sum() - 1) / 2)
    assert torch.special.gammaincc(freedom, torch.tensor(statistic / 2)) > 1e-3


OF_SEVERAL_SPANS = {
    "nothing": Sampling(temperature=1.0),
    "a low temperature": Sampling(temperature=0.5),
    "top-k": Sampling(temperature=1.0, top_k=40),
    "top-p": Sampling(temperature=1.3, top_p=0.6),
    "min-p": Sampling(temperature=0.8, min_p=0.05),
    "spans left empty": Sampling(temperature=1.0, mask=mask_of(LONG, [*range(900), *EDGES])),
    "four places": Sampling(temperature=1.0, mask=mask_of(LONG, EDGES)),
    "a span alone": Sampling(temperature=1.0, mask=mask_of(LONG, range(2048, 3072))),
}


@pytest.mark.parametrize("feature", OF_SEVERAL_SPANS)
def test_draws_have_the_distribution_of_the_softmax_across_spans_and_within_them(feature):
    count, sampling = 6_000, OF_SEVERAL_SPANS[feature]
    logits = np.random.default_rng(5).normal(0, 2, LONG).astype(np.float32)
    logits[EDGES] = logits.max()
    rows = [Row(msgspec.structs.replace(sampling, seed=seed)) for seed in range(count)]
    tokens = run(torch.from_numpy(logits).expand(count, -1), rows)["tokens"].numpy()
    wanted = sampling_numpy.probabilities(logits, sampling, [], 0) * count
    found = np.bincount(tokens, minlength=LONG)
    assert found[wanted > 20].all() and not found[wanted == 0].any()
    assert_likely(found, wanted)
    assert_likely(*(np.add.reduceat(counts, range(0, LONG, 1024)) for counts in (found, wanted)))
