"""What the kernels of a GPU's steps are predicted to take, and what they take at least."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ..artifact.tuning_table import Key
from ..runtime.cuda.card_limits import CARDS, limits_of
from ..runtime.kernel_costs import LaunchCosts
from ..runtime.predict import predict_launches
from .gpu_steps import StepFrames
from .gpu_works import GpuWork, GpuWorks

_LIKE = CARDS["h100"].limits  # what a card that is not known is taken for, to predict shares


class GpuCosts:
    """Of the works of an artifact, on the card of that name."""

    def __init__(self, works: GpuWorks, frames: StepFrames, device_name: str, dtype: str) -> None:
        self._works, self._frames, self._dtype = works, frames, dtype
        self.limits = limits_of(device_name)
        self._expected_s: dict[Key, float] = {}

    def shares(self) -> Mapping[Key, float]:
        """Of the predicted time of all works; each size of step counts the same."""
        shares: defaultdict[Key, float] = defaultdict(float)
        for tape in self._works.tapes:
            for work, share in self._of_tape(tape):
                shares[work.region.key] += share
        total = sum(shares.values())
        return {key: share / total for key, share in shares.items()}

    def expected_s(self, work: GpuWork) -> float:
        """Of a call; `shares` must have been asked for."""
        return self._expected_s[work.region.key]

    def least_s(self, work: GpuWork) -> float | None:
        """Of a call at the limits of the card, on average over the steps of its size."""
        limits, call = self.limits, work.calls[0]
        if limits is None:
            return None
        launches = self._works.tapes[work.tape][call.begin : call.end]
        total_s = 0.0
        for frame in (frames := self._frames.of(work.steps)):
            costs = [LaunchCosts(self._works.target, frame).of(launch) for launch in launches]
            read_s = sum(cost.bytes or 0 for cost in costs) / limits.bytes_per_s
            compute_s = sum(cost.flops or 0 for cost in costs) / limits.flops_per_s[self._dtype]
            total_s += max(read_s, compute_s)
        return total_s / len(frames)

    def _of_tape(self, tape: str) -> list[tuple[GpuWork, float]]:
        """The works of a step, each with its share of the step's time."""
        own = [work for work in self._works.all if work.tape == tape]
        launches, target = self._works.tapes[tape], self._works.target
        times_s = np.mean(
            [
                predict_launches(launches, target, frame, self.limits or _LIKE, self._dtype)
                for frame in self._frames.of(own[0].steps)
            ],
            axis=0,
        )
        found = []
        for work in own:
            work_s = float(sum(times_s[call.begin : call.end].sum() for call in work.calls))
            self._expected_s.setdefault(work.region.key, work_s / len(work.calls))
            found.append((work, work_s / float(times_s.sum())))
        return found
