import pytest

from tapeout.artifact import Launch
from tapeout.runtime.cuda.card_limits import limits_of
from tapeout.runtime.kernel_costs import Cost
from tapeout.runtime.kernel_rows import rows_of

H100 = limits_of("NVIDIA H100 80GB HBM3")
COSTS = {"a": Cost(3_350_000, 10**6), "b": Cost(1000, 989 * 10**6), "c": Cost(None, None)}
TIMES_S = [("a", 2e-6), ("c", 9e-6), ("a", 3e-6), ("b", 4e-6)]


class KnownCosts:
    """The costs of a launch by its kernel's name."""

    def of(self, launch):
        return COSTS[launch.kernel]


def rows(times_s=TIMES_S, card=H100):
    timed = [(Launch(kernel=n, buffers=[], scalars=[]), time_s) for n, time_s in times_s]
    return rows_of(timed, KnownCosts(), card, "bf16")


def test_launches_of_a_kernel_are_summed_up_and_the_longest_is_first():
    found = [(row.name, row.num_launches, row.bytes) for row in rows()]
    assert found == [("c", 1, None), ("a", 2, 6_700_000), ("b", 1, 1000)]
    assert [row.share for row in rows()] == pytest.approx([9 / 18, 5 / 18, 4 / 18])


def test_the_roofline_is_of_the_limit_that_binds():
    _, a, b = rows()
    assert a.roofline == pytest.approx(2e-6 / 5e-6) and a.bytes_per_s == pytest.approx(1.34e12)
    assert b.roofline == pytest.approx(1e-6 / 4e-6)


def test_what_is_not_known_has_no_roofline():
    assert rows()[0].roofline is None and rows()[0].bytes_per_s is None
    assert [row.roofline for row in rows(card=limits_of("a toy"))] == [None] * 3


def test_a_launch_that_took_no_time_has_no_rate():
    [row] = rows([("a", -1e-9)])
    assert row.bytes_per_s is None and row.roofline is None
