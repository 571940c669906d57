"""Planted bugs: the simulator must catch every one of them.

Where such bugs were seen is said beside each; `python bench/simulate.py --mutants` counts steps.
"""

import pytest
from simulator.hunt import MUTANTS, hunt

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
