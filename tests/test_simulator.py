"""Random engines under random traffic and faults, checked after every call of the scheduler.

Any number of steps: `python bench/simulate.py`.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from simulator import model, shrink, trace
from simulator.cases import Case
from simulator.run import replay, run_seed

TRACES = sorted((Path(__file__).parent / "simulator" / "traces").glob("*.json"))
ALWAYS, NUM_PARTS, SEEDS_OF_A_PART, STEPS_OF_A_SEED = 4, 10, 33, 300


@pytest.mark.parametrize(
    "part",
    [
        *range(ALWAYS),
        *(pytest.param(part, marks=pytest.mark.slow) for part in range(ALWAYS, NUM_PARTS)),
    ],
)
def test_every_promise_holds_in_ten_thousand_steps(part):
    num_steps = 0
    for seed in range(part * SEEDS_OF_A_PART, (part + 1) * SEEDS_OF_A_PART):
        outcome = run_seed(seed, STEPS_OF_A_SEED)
        assert not outcome.violation, f"seed {seed}: {outcome.violation}"
        num_steps += outcome.num_steps
    assert num_steps >= 10_000


def test_every_event_meets_requests_in_every_state():
    coverage = sum((run_seed(seed, 200).coverage for seed in range(1000, 1060)), Counter())
    events = {event for _, event in coverage}
    assert events >= {"cache hit", "no hit", "preempted", "steps lost", "queue full", "wrong mask"}
    assert events >= {"stop", "length", "abort", "timeout", "numeric_error"}
    met = {(state.partition(",")[0], event) for state, event in coverage}
    for state in ("new", "begun", "decoding", "masked", "preempted"):
        assert {(state, "cancel: abort"), (state, "steps lost")} <= met


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_what_failed_once_does_not_fail_again(path):
    assert replay(trace.load(path)) == ""


def test_a_seed_gives_the_same_run_again():
    first, second = run_seed(11, 300), run_seed(11, 300)
    assert first.trace == second.trace
    assert first.coverage == second.coverage


def test_a_trace_is_the_same_after_it_was_kept(tmp_path):
    original = run_seed(3, 50).trace
    trace.save(original, tmp_path / "trace.json")
    assert trace.load(tmp_path / "trace.json") == original


def test_shrinking_leaves_just_what_is_needed():
    commands = [trace.Stepping(seconds=float(second)) for second in range(40)]
    needed = {3.0, 17.0, 18.0}

    def fails(shorter):
        return needed <= {command.seconds for command in shorter.commands}

    small = shrink.shrink(trace.Trace(run_seed(0, 1).trace.config, commands), fails)
    assert [command.seconds for command in small.commands] == sorted(needed)


def test_numbers_are_scrambled_alike_one_by_one_and_together():
    numbers = [0, 1, 2**40 + 7, 2**64 - 1]
    assert model.mix(np.array(numbers, np.uint64)).tolist() == list(map(model.mix_one, numbers))


def test_the_true_output_depends_on_prompt_salt_and_seed():
    config = run_seed(0, 1).trace.config
    base = {"number": 1, "family": 0, "shared": 0, "own": 3, "own_key": 5, "max_tokens": 4}
    changes = [{}, {"own_key": 6}, {"salt": 1}, {"seed": 3}, {"penalised": True}]
    outputs = [tuple(_truth(config, base | change)) for change in changes]
    assert len(set(outputs)) == len(changes)


def _truth(config, fields):
    return Case(trace.Arriving(**fields), config, 0.0).truth
