"""Planted bugs: the simulator must catch every one of them.

Where such bugs were seen is said beside each; `python bench/simulate.py --mutants` counts steps.
"""

import pytest
from simulator.hunt import MUTANTS, hunt
from simulator.run import replay, run_seed, shrunk

MAX_STEPS = 50_000


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name):
    num_steps, violation = hunt(MUTANTS[name], MAX_STEPS)
    assert violation, f"{name} lived for {num_steps} steps"


def test_every_planted_bug_says_what_it_does_and_where_it_was_seen():
    assert len(MUTANTS) >= 24
    assert [name for name, mutant in MUTANTS.items() if not (mutant.does and mutant.seen)] == []


def test_a_planted_bug_leaves_with_its_context():
    mutant = MUTANTS["a_tenant_is_never_charged"]
    (owner,) = mutant.owners
    original = getattr(owner, mutant.attribute)
    with mutant.planted():
        assert getattr(owner, mutant.attribute) is not original
    assert getattr(owner, mutant.attribute) is original


def test_a_trace_of_a_planted_bug_shrinks_to_a_few_commands_that_fail_with_it_alone():
    mutant = MUTANTS["a_sequence_ends_one_token_early"]
    with mutant.planted():
        small = shrunk(next(run_seed(seed, 50).trace for seed in range(9) if _breaks(seed)))
        assert replay(small) == small.violation != ""
        assert len(small.commands) <= 3
    assert replay(small) == ""


def _breaks(seed):
    return bool(run_seed(seed, 50).violation)
