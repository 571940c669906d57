from itertools import product

from fake_space import key_of

from tapeout.tuning.cost_model import CostModel

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
