"""Runs swarms and traces, and says what broke."""

import traceback
from collections import Counter
from pathlib import PurePath
from typing import NamedTuple

from .shrink import shrink
from .swarm import Swarm
from .trace import Command, Draining, Trace
from .world import World


class Outcome(NamedTuple):
    """What became of a run."""

    num_steps: int
    trace: Trace  # up to its violation, if it has one
    coverage: Counter[tuple[str, str]]

    @property
    def violation(self) -> str:
        """What broke; empty if nothing did."""
        return self.trace.violation


def run_seed(seed: int, num_steps: int) -> Outcome:
    """The swarm of a seed, until it drains after at least so many steps."""
    swarm = Swarm(seed)
    world, done, violation = World(swarm.config), list[Command](), ""
    try:
        for command in swarm.commands(world):
            done.append(command)
            world.apply(command)
            if isinstance(command, Draining) and world.num_steps >= num_steps:
                break
    except Exception as error:
        violation = describe(error)
    return Outcome(world.num_steps, Trace(swarm.config, done, violation), world.coverage)


def replay(trace: Trace) -> str:
    """What breaks when a trace is run again and then drained; empty if nothing does."""
    try:
        world = World(trace.config)
        for command in [*trace.commands, Draining()]:
            world.apply(command)
    except Exception as error:
        return describe(error)
    return ""


def shrunk(trace: Trace) -> Trace:
    """The smallest trace found that breaks in the same place."""
    where = place(trace.violation)
    small = shrink(trace, lambda shorter: place(replay(shorter)) == where)
    return Trace(small.config, small.commands, replay(small))


def describe(error: Exception) -> str:
    """The file and function that raised, the kind of error, and what it said."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if frame.name != "check"][-1]
    told = " ".join(str(error).split()) or last.line
    return f"{PurePath(last.filename).name}:{last.name}:{type(error).__name__}: {told}"


def place(violation: str) -> str:
    """Where a violation was seen: file, function and kind."""
    return ":".join(violation.split(":")[:3])
