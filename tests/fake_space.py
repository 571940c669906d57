"""A space of kernels whose times are numbers, for the tests of the search."""

import random
from concurrent.futures import Future

from tapeout.artifact.tuning_table import Device, Key
from tapeout.errors import BuildError
from tapeout.tuning.space import Times, Work

DEVICE = Device(name="fake", arch="fake", num_units=2)
USUAL = {"depth": 4, "width": 4}
VALUES = (1, 2, 4, 8)


def key_of(name, steps="rows1"):
    return Key(kernel=name, shape=(64, 64), dtype="bf16", steps=steps, batch_invariant=True)


class FakeSpace:
    """Launches take `cost(configuration)` seconds, give or take `noise`; time itself stands still.

    `wrongs` are configurations with a wrong output, `failing` those that do not compile.
    """

    device, memory_bytes_per_s = DEVICE, None
    candidates_a_turn, turns_ahead, expected_turn_s = 8, 1, 1.0

    def __init__(
        self, cost, shares=None, noise=0.02, wrongs=(), failing=(), step_cost=None, steps=None,
        check_s=0.0,
    ):  # fmt: skip
        self.cost, self.noise, self.wrongs, self.failing = cost, noise, wrongs, failing
        self.shares, self.steps = shares or {"linear": 1.0}, steps or {}
        self.check_s = check_s  # of as many pairs of whole steps as are taken at once
        self.step_cost = step_cost or (lambda chosen: 0.9 if chosen else 1.0)
        self.chance = random.Random(0)
        self.now_s = 0.0
        self.timed, self.order = [], []

    def clock(self):
        return self.now_s

    def works(self):
        return [
            Work(key_of(name, self.steps.get(name, "rows1")), name, share, USUAL)
            for name, share in self.shares.items()
        ]

    def candidates(self, work):
        return [{"depth": depth, "width": width} for depth in VALUES for width in VALUES]

    def compile(self, work, configurations):
        self.order.append(work.name)
        self.now_s += 1
        return [self._compiled(configuration) for configuration in configurations]

    def wrong(self, work, built):
        return "row 0 differs" if built in self.wrongs else None

    def times(self, work, first, second, num_pairs):
        self.timed += [first, second]
        pairs = [(self._time(first), self._time(second)) for _ in range(num_pairs)]
        return Times(*zip(*pairs, strict=True))

    def least_s(self, work):
        return 0.1

    def step_times(self, steps, chosen, num_pairs):
        self.now_s += self.check_s
        cost = self.step_cost(chosen)
        pairs = [(self._noisy(1.0), self._noisy(cost)) for _ in range(num_pairs)]
        return Times(*zip(*pairs, strict=True))

    def check_alive(self):
        pass

    def close(self):
        pass

    def _compiled(self, configuration):
        future = Future()
        if configuration in self.failing:
            future.set_exception(BuildError("too many registers"))
        else:
            future.set_result(configuration)
        return future

    def _time(self, configuration):
        return self._noisy(self.cost(configuration))

    def _noisy(self, time_s):
        outlier = 3 if self.chance.random() < 0.05 else 1
        return time_s * outlier * (1 + self.noise * self.chance.random())
