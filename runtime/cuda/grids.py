"""Holds the grids of launches to what a GPU takes, at the largest step of a load."""

from collections.abc import Iterator

from ...artifact import Described, Launch, Tape, evaluate
from ...errors import InputError
from ..layout import Sizes
from ..plan import MemoryPlan

_MOST = (2**31 - 1, 65535, 65535)  # blocks along each axis


def check_grids(described: Described, plan: MemoryPlan) -> None:
    """Raises InputError, with the numbers, for a step that is too large to be launched."""
    for tape in described.tapes.values():
        for launch, blocks, most in _grids(tape, _largest(tape, plan.sizes)):
            if blocks > most:
                raise InputError(
                    f"a step of max_num_batched_tokens={plan.max_num_batched_tokens} and "
                    f"max_num_seqs={plan.max_num_seqs} needs {blocks} blocks of {launch.kernel} "
                    f"side by side, more than the {most} of a GPU; lower one of the two"
                )


def _largest(tape: Tape, sizes: Sizes) -> Sizes:
    """The sizes of the largest step that a tape takes."""
    most = sizes["T"] if tape.max_rows is None else tape.max_rows
    if tape.one_token_each:
        most = min(most, sizes["S"], sizes["R"])
    return {**sizes, **{symbol: min(sizes[symbol], most) for symbol in "TSR"}}


def _grids(tape: Tape, sizes: Sizes) -> Iterator[tuple[Launch, int, int]]:
    """The blocks of each launch along each axis whose size depends on the step, and the most."""
    for launch in tape.launches:
        for term, most in zip(launch.grid, _MOST, strict=True):
            if len(term.extent) > 1 or "" not in term.extent:
                blocks = max(1, -(-evaluate(term.extent, sizes) // term.divisor)) * term.factor
                yield launch, blocks, most
