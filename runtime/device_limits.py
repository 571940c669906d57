"""What a device can do at most, whatever runs on it."""

from typing import NamedTuple


class DeviceLimits(NamedTuple):
    """The most of a device, by its data sheet or as measured."""

    bytes_per_s: float  # of its memory
    flops_per_s: dict[str, float]  # by dtype
    num_multiprocessors: int | None  # None: a CPU, whose launches share their work among threads
