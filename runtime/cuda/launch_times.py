"""How long each launch of a step takes on the device, in its place among the others.

A graph of the step's first n launches is timed for every n: what the n-th adds is its time. So
launches overlap, and find the caches as cold, as they do in a step, and their times add up to its
own. Each graph is queued behind a whole step: the host is far ahead when it begins. The first
launch has the pause between two graphs, too.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..player import Dims
from .device import Device
from .tapes import TapeForm

Bind = Callable[[TapeForm, int], int]  # a form and how many of its launches, to the player's tape
_BUDGET_S = 20.0
_MIN_ROUNDS, _MAX_ROUNDS = 5, 50


def time_launches(device: Device, forms: Sequence[TapeForm], bind: Bind, dims: Dims) -> list[float]:
    """Seconds that each launch of tapes that follow one another adds for T, S, R, P.

    Medians of some rounds over all graphs, as many as take 20 s: clocks drift, rounds do not mind.
    """
    graphs = [device.add_graph(tapes, dims) for tapes in _beginnings(forms, bind)]
    start, end = device.event(with_time=True), device.event(with_time=True)

    def seconds(graph: int) -> float:
        device.run_graph(graphs[-1])
        device.call("event_record", start)
        device.run_graph(graph)
        device.call("event_record", end)
        device.call("event_wait", end)
        return device.elapsed_s(start, end)

    first = [seconds(graph) for graph in graphs]
    round_s = sum(first) + len(graphs) * first[-1]
    num_rounds = int(np.clip(_BUDGET_S / round_s, _MIN_ROUNDS, _MAX_ROUNDS))
    rounds = [[seconds(graph) for graph in graphs] for _ in range(num_rounds)]
    added: list[float] = np.diff(np.median(rounds, axis=0), prepend=0.0).tolist()
    return added


def _beginnings(forms: Sequence[TapeForm], bind: Bind) -> Iterator[list[int]]:
    """Tapes that have the first 1, 2, ... launches."""
    before: list[int] = []
    for form in forms:
        count = len(form.launches)
        tapes = [bind(form, n) for n in range(1, count + 1)]
        yield from ([*before, tape] for tape in tapes)
        before = [*before, tapes[-1]]
