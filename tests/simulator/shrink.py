"""Makes a failing trace small: takes out what it fails without."""

from collections.abc import Callable

from .trace import Command, Trace

Fails = Callable[[Trace], bool]


def shrink(trace: Trace, fails: Fails) -> Trace:
    """The commands without which it does not fail any more; delta debugging.

    Source: Zeller and Hildebrandt, Simplifying and isolating failure-inducing input (2002).
    """
    commands, chunk = list(trace.commands), max(1, len(trace.commands) // 2)
    while chunk:
        shorter = _without(commands, chunk, lambda left: fails(Trace(trace.config, left)))
        chunk = chunk if len(shorter) < len(commands) and chunk > 1 else chunk // 2
        commands = shorter
    return Trace(trace.config, commands, trace.violation)


def _without(
    commands: list[Command], chunk: int, fails: Callable[[list[Command]], bool]
) -> list[Command]:
    """Tries to take out each run of `chunk` commands, the last first."""
    for start in range((len(commands) - 1) // chunk * chunk, -1, -chunk):
        left = commands[:start] + commands[start + chunk :]
        if fails(left):
            commands = left
    return commands
