"""What the search drives: the kernels of an artifact on one kind of device, and their variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeVar

from ..artifact.tuning_table import Configuration, Device, Key

Built = TypeVar("Built")


class Work(NamedTuple):
    """A kernel, shape and bucket of an artifact: one line of the table that tuning gives."""

    key: Key
    name: str  # of the kernel, for people
    share: float  # of the predicted time of all works, which add up to 1
    configuration: Configuration  # the artifact's own choice


class Times(NamedTuple):
    """Seconds of two variants, taken in turns: the first of each are neighbours."""

    first_s: Sequence[float]
    second_s: Sequence[float]


class Space(Protocol[Built]):
    """The works of an artifact on the device at hand. `Built` is a compiled variant.

    Where an artifact is batch-invariant, all of a work's candidates give the same bits.
    """

    @property
    def device(self) -> Device:
        """The fingerprint of the device."""

    @property
    def memory_bytes_per_s(self) -> float | None:
        """The rate at which it reads as many bytes as a step does."""

    @property
    def candidates_a_turn(self) -> int:
        """Variants that are best compiled at a time."""

    @property
    def turns_ahead(self) -> int:
        """Turns that are compiled while one is timed."""

    @property
    def expected_turn_s(self) -> float:
        """What a turn takes about, until one was measured."""

    def works(self) -> Sequence[Work]:
        """Every work once; works whose keys are equal are one."""

    def candidates(self, work: Work) -> Sequence[Configuration]:
        """All configurations that may be tried."""

    def compile(
        self, work: Work, configurations: Sequence[Configuration]
    ) -> Sequence[Future[Built]]:
        """Compiles variants in parallel; a future fails with BuildError where one cannot be.

        The first is the artifact's own choice. Those that are checked and timed together come
        of one call, and stay usable for ``turns_ahead`` more. Where compiling would disturb times,
        it returns when all are done.
        """

    def wrong(self, work: Work, built: Built) -> str | None:
        """How a variant's output on random inputs differs from the reference's; None: it is right.

        The reference is the artifact's own choice where bits must be equal, else the interpreter.
        """

    def times(self, work: Work, first: Built, second: Built, num_pairs: int) -> Times:
        """Times pairs of launches, in an order that changes from pair to pair."""

    def least_s(self, work: Work) -> float | None:
        """What a launch takes at the device's limits; None where no record can say."""

    def step_times(self, steps: str, chosen: Mapping[Key, Configuration], num_pairs: int) -> Times:
        """Times whole steps of that name: of the artifact as it is, and of one with ``chosen``."""

    def check_alive(self) -> None:
        """Raises what ends the search, where a variant has left the device useless."""

    def close(self) -> None:
        """Gives the device back."""
