from itertools import product

import numpy as np
import pytest
from fake_space import key_of

from tapeout.tuning.cost_model import _RELATIVE_NOISE, CostModel, _alike, _Belief

ALL = [{"depth": depth, "width": width} for depth, width in product((1, 2, 4, 8, 16), repeat=2)]


def time_of(configuration):
    return 1 + 0.2 * abs(configuration["depth"] - 8) + 0.2 * abs(configuration["width"] - 2)


def learned(configurations, key):
    model = CostModel()
    for configuration in configurations:
        model.add(key, configuration, time_of(configuration))
    return model


def test_with_nothing_seen_the_first_goes_first_and_the_rest_is_spread():
    chosen = CostModel().choose(key_of("linear"), ALL, 4)
    assert chosen[0] == ALL[0] and {"depth": 16, "width": 16} in chosen


def test_what_is_near_to_fast_ones_goes_before_what_is_near_to_slow_ones():
    key = key_of("linear")
    model = learned([ALL[0], ALL[-1], {"depth": 8, "width": 1}, {"depth": 4, "width": 2}], key)
    chosen = model.choose(key, ALL, 5)
    assert {"depth": 8, "width": 2} in chosen


def test_what_one_kernel_taught_helps_with_another():
    model = learned(ALL, key_of("linear", "rows1"))
    [best] = model.choose(key_of("linear", "rows4"), ALL, 1)
    assert time_of(best) <= 1.4


def test_no_more_are_chosen_than_there_are():
    assert CostModel().choose(key_of("linear"), ALL[:2], 5) == ALL[:2]
    assert CostModel().choose(key_of("linear"), [], 5) == []


def test_forms_whose_configurations_have_other_names_are_chosen_beside_each_other():
    streams = [{"slots": slots} for slots in (2, 4, 8)]
    chosen = CostModel().choose(key_of("linear"), [*ALL, *streams], len(ALL) + len(streams))
    assert len(chosen) == len(ALL) + len(streams) and chosen != [*ALL, *streams]
    model = learned(ALL, key_of("linear"))
    model.add(key_of("linear"), {"slots": 2}, 0.5)
    assert model.choose(key_of("linear"), [*ALL, *streams[1:]], 1)[0] in streams


def test_learning_one_after_another_gives_what_solving_for_all_at_once_gives():
    chance = np.random.default_rng(0)
    points, known, values = chance.normal(size=(20, 3)), chance.normal(size=(9, 3)), np.arange(9.0)
    belief = _Belief(points, [*zip(known, values, strict=True)], 1)
    taken = belief.take()
    known, usual = np.vstack([known, points[taken]]), values.mean()
    inverse = np.linalg.inv(alike(known[:9], known[:9]) + _RELATIVE_NOISE * np.eye(9))
    means = usual + alike(points, known[:9]) @ inverse @ (values - usual)
    others = np.arange(20) != taken
    assert belief._means[:20][others] == pytest.approx(means[others])
    inverse = np.linalg.inv(alike(known, known) + _RELATIVE_NOISE * np.eye(10))
    shared = alike(points, known)
    assert belief._variances[:20] == pytest.approx(1 - ((shared @ inverse) * shared).sum(axis=1))


def alike(points, others):
    return np.array([_alike(others, point) for point in points])
