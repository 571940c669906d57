from tapeout.tuning.budget import Budget


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_what_was_spent_before_the_search_is_gone():
    budget = Budget(10.0, 4.0, 1.0, Clock())
    assert (budget.elapsed_s, budget.left_s) == (4.0, 6.0)


def test_a_turn_must_end_before_the_checks_begin():
    clock = Clock()
    budget = Budget(10.0, 0.0, 1.0, clock)
    assert budget.has_turn(num_checks=9) and not budget.has_turn(num_checks=10)
    with budget.turn():
        clock.now_s += 4
    assert budget.has_turn(num_checks=2) and not budget.has_turn(num_checks=3)
    assert not budget.is_late(num_checks=6) and budget.is_late(num_checks=7)


def test_a_check_begins_while_there_is_time_for_one():
    clock = Clock()
    budget = Budget(10.0, 0.0, 1.0, clock)
    clock.now_s += 8.5
    assert budget.has_check()
    clock.now_s += 1
    assert not budget.has_check()
