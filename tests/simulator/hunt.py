"""Counts the steps that the simulator needs to catch a planted bug."""

from itertools import count

from . import cache_mutants, scheduler_mutants
from .mutants import MUTANTS, Mutant
from .run import place, run_seed

__all__ = ["MUTANTS", "Mutant", "cache_mutants", "hunt", "scheduler_mutants"]
_STEPS_OF_A_SEED = 300
_MISFITS = {"AttributeError", "NameError", "TypeError"}


def hunt(mutant: Mutant, max_steps: int) -> tuple[int, str]:
    """Steps until it was caught, and how; the empty string if it was not."""
    num_steps = 0
    with mutant.planted():
        for seed in count():
            outcome = run_seed(seed, _STEPS_OF_A_SEED)
            num_steps += outcome.num_steps
            kind = place(outcome.violation).rpartition(":")[2]
            assert kind not in _MISFITS, f"{mutant.name} fits the code no more: {outcome.violation}"
            if outcome.violation or num_steps >= max_steps:
                return num_steps, outcome.violation
    raise AssertionError("unreachable")
