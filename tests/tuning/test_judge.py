import random

import pytest

from tapeout.tuning.judge import MAX_PAIRS, judge, judge_steps
from tapeout.tuning.space import Times


def pairs(first, second, noise, seed=0):
    """A source of pairs; a tenth of the times are outliers."""
    chance = random.Random(seed)

    def noisy(time_s):
        return time_s * (1 + noise * chance.random()) * (5 if chance.random() < 0.1 else 1)

    return lambda count: Times(
        [noisy(first) for _ in range(count)], [noisy(second) for _ in range(count)]
    )


def test_what_is_clearly_faster_is_found_faster():
    assert all(judge(pairs(1.0, 0.8, 0.1, seed)).is_faster for seed in range(50))


def test_what_is_as_fast_is_not_found_faster():
    assert not any(judge(pairs(1.0, 1.0, 0.1, seed)).is_faster for seed in range(200))


@pytest.mark.parametrize(("time_s", "most_pairs"), [(1.3, 3), (1.05, 8)])
def test_what_is_slower_is_given_up_after_a_few_pairs(time_s, most_pairs):
    taken = []

    def take(count):
        taken.append(count)
        return Times([1.0] * count, [time_s] * count)

    judged = judge(take)
    assert not judged.is_faster and judged.ratio == pytest.approx(time_s)
    assert sum(taken) <= most_pairs


def test_a_gain_below_the_margin_is_none():
    assert not judge(pairs(1.0, 0.995, 0.0)).is_faster


def test_the_number_of_pairs_is_bounded():
    taken = []

    def take(count):
        taken.append(count)
        return Times([1.0] * count, [0.9, 0.9, 1.05, 0.9, 1.1][-count:])

    judge(take)
    assert sum(taken) <= MAX_PAIRS


def never():
    """There is time."""
    return False


def test_steps_that_are_a_little_faster_are_found_so_and_slower_ones_never():
    assert all(judge_steps(pairs(1.0, 0.98, 0.02, seed), never).is_faster for seed in range(50))
    assert not any(judge_steps(pairs(1.0, 1.02, 0.02, seed), never).is_faster for seed in range(50))


def test_steps_that_are_as_fast_are_seldom_called_faster():
    assert (
        sum(judge_steps(pairs(1.0, 1.0, 0.1, seed), never).is_faster for seed in range(200)) <= 14
    )


def test_when_it_is_late_the_first_pairs_of_steps_have_to_do():
    taken = []

    def take(count):
        taken.append(count)
        return Times([1.0] * count, [0.9, 1.1] * (count // 2))

    assert not judge_steps(take, lambda: True).is_faster and len(taken) == 1
