"""One GPU through `player_cuda.so`: memory, streams, events, kernels, tapes and graphs.

The binding of codegen/player/cuda_player.c, without a copy of what is said there.
"""

import ctypes
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...interrupts import uninterrupted
from ..memory import Bytes
from ..player import REMEDY, Dims
from .errors import FORKED, CudaError, error_of

LIBCUDA = "libcuda.so.1"  # the driver brings it; tests have one of their own
_NAME_BYTES = 256
_POINTER, _INT, _LONG, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p
_ADDRESS, _DIMS = ctypes.c_uint64, ctypes.c_int64 * 4
# Every function but `open` takes the handle first.
_ARGUMENTS: dict[str, list[Any]] = {
    "describe": [_POINTER, _TEXT, _INT],
    "start": [],
    "num_free_bytes": [_POINTER],
    "allocate": [_LONG, _POINTER],
    "free": [_ADDRESS],
    "allocate_pinned": [_LONG, _POINTER],
    "free_pinned": [_POINTER],
    "zero": [_ADDRESS, _LONG],
    "copy_in": [_ADDRESS, _POINTER, _LONG],
    "copy_ahead": [_ADDRESS, _POINTER, _LONG],
    "copy_out": [_POINTER, _ADDRESS, _LONG],
    "synchronize": [],
    "event_create": [_INT, _POINTER],
    "event_destroy": [_POINTER],
    "event_record": [_POINTER],
    "event_record_ahead": [_POINTER],
    "event_wait": [_POINTER],
    "stream_wait": [_POINTER],
    "event_elapsed": [_POINTER, _POINTER, _POINTER],
    "kernel_add": [_TEXT, _TEXT, _INT, _INT, _INT, _POINTER],
    "tape_add": [_INT, *[_POINTER] * 6, _INT, _POINTER],
    "tape_run": [_INT, _DIMS],
    "tape_run_part": [_INT, _DIMS, _INT, _INT],
    "graph_add": [_POINTER, _INT, _DIMS],
    "graph_run": [_INT],
    "close": [],
}


class Facts(NamedTuple):
    """What a device is."""

    name: str
    capability: int  # 90 for sm_90
    num_multiprocessors: int
    memory_bytes: int
    shared_bytes: int  # that a block can have
    driver: int  # 13000 for CUDA 13.0


class Device:
    """A GPU that nothing has been taken from until `start`. Owns what is allocated through it.

    Calls may come from any thread, one of each kind of work at a time; `close` ends all, as does
    the end of the last reference to it. In a fork of the process every call fails, and `close`
    leaves the device to the process that has it.
    """

    def __init__(self, library: Path, number: int = 0) -> None:
        self._c = _bind(library)
        self._addresses: list[int] = []
        self._pinned: list[int] = []
        self._events: list[int] = []
        self._pid = os.getpid()
        self._handle: int | None = self._c.tapeout_cuda_open(LIBCUDA.encode(), number)
        if not self._handle:
            raise self._error()
        owned = (self._events, self._pinned, self._addresses)
        self._release = weakref.finalize(self, _release, self._c, self._handle, self._pid, *owned)
        try:
            self.facts = self._describe()
        except BaseException:
            self.close()
            raise

    def _describe(self) -> Facts:
        name, facts = ctypes.create_string_buffer(_NAME_BYTES), (ctypes.c_int64 * 5)()
        self.call("describe", facts, name, _NAME_BYTES)
        return Facts(name.value.decode(errors="replace"), *facts)

    def call(self, function: str, *arguments: Any) -> int:
        """What a function of the player gives. Raises CudaError."""
        if self._handle is None:
            raise CudaError(f"{function}: the device is closed")
        if os.getpid() != self._pid:
            raise CudaError(FORKED)
        result = getattr(self._c, f"tapeout_cuda_{function}")(self._handle, *arguments)
        if result < 0:
            raise self._error()
        return int(result)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Errors of the driver name what it was asked for."""
        try:
            yield
        except CudaError as error:
            raise type(error)(f"{what}: {error}") from None

    def start(self) -> None:
        """Makes the context; it takes some hundred MiB of the device."""
        self.call("start")

    def num_taken_bytes(self) -> int:
        """Memory of the device that is taken, by whomever."""
        num_free = ctypes.c_int64()
        self.call("num_free_bytes", ctypes.byref(num_free))
        return self.facts.memory_bytes - num_free.value

    def allocate(self, num_bytes: int, purpose: str) -> int:
        """The address of zeroed memory. Raises DeviceFullError naming `purpose` if it is short."""
        free_bytes = self.facts.memory_bytes - self.num_taken_bytes()
        there = f"where {free_bytes} of the GPU's {self.facts.memory_bytes} are free"
        with self.doing(f"{purpose}: {num_bytes} bytes cannot be allocated, {there}"):
            address = self._take("allocate", max(num_bytes, 1), self._addresses)
        self.call("zero", address, num_bytes)
        return address

    def allocate_pinned(self, num_bytes: int, purpose: str) -> Bytes:
        """Zeroed memory of the host that the device copies by itself; valid until `close`."""
        with self.doing(f"{purpose}: {num_bytes} bytes of the host cannot be pinned"):
            address = self._take("allocate_pinned", max(num_bytes, 1), self._pinned)
        ctypes.memset(address, 0, num_bytes)
        return np.ctypeslib.as_array((ctypes.c_uint8 * num_bytes).from_address(address))

    def free_pinned(self, memory: Bytes) -> None:
        """Gives back what `allocate_pinned` gave; nothing may be copying from it."""
        address = memory.ctypes.data
        with uninterrupted():
            self._pinned.remove(address)
            self.call("free_pinned", address)

    def _take(self, function: str, argument: int, owned: list[int]) -> int:
        """What a function of the player makes; no interrupt comes before it is owned."""
        made = ctypes.c_uint64()  # as wide as a pointer
        with uninterrupted():
            self.call(function, argument, ctypes.byref(made))
            owned.append(made.value)
        return made.value

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """Queues a copy to the device; pinned memory must not change until it is done."""
        assert array.flags.c_contiguous
        self.call("copy_in", address, array.ctypes.data, array.nbytes)

    def copy_ahead(self, address: int, array: NDArray[Any]) -> None:
        """The same, but the copy does not wait for what was queued before other such copies."""
        assert array.flags.c_contiguous
        self.call("copy_ahead", address, array.ctypes.data, array.nbytes)

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        """Queues a copy from the device."""
        assert array.flags.c_contiguous
        self.call("copy_out", array.ctypes.data, address, array.nbytes)

    def event(self, with_time: bool = False) -> int:
        """A new event, to be recorded on the stream and waited for."""
        return self._take("event_create", int(with_time), self._events)

    def elapsed_s(self, start: int, end: int) -> float:
        """Between two events with time that have been reached."""
        elapsed_ms = ctypes.c_float()
        self.call("event_elapsed", start, end, ctypes.byref(elapsed_ms))
        return elapsed_ms.value / 1000

    def add_kernel(
        self, cubin: bytes, entry: str, num_warps: int, shared_bytes: int, begins_early: bool
    ) -> int:
        """The number of a kernel of a cubin."""
        number, counts = ctypes.c_int(), (num_warps, shared_bytes, int(begins_early))
        version = f"{self.facts.driver // 1000}.{self.facts.driver % 1000 // 10}"
        with self.doing(f"kernel {entry}, by a driver of CUDA {version}"):
            self.call("kernel_add", cubin, entry.encode(), *counts, ctypes.byref(number))
        return number.value

    def run_tape(self, tape: int, dims: Dims) -> None:
        """Queues the launches of a tape for T, S, R, P."""
        self.call("tape_run", tape, _DIMS(*dims))

    def run_tape_part(self, tape: int, dims: Dims, begin: int, end: int) -> None:
        """Queues launches `begin` to `end` of a tape."""
        self.call("tape_run_part", tape, _DIMS(*dims), begin, end)

    def add_graph(self, tapes: Sequence[int], dims: Dims) -> int:
        """The number of a graph of tapes, one after another, for T, S, R, P."""
        return self.call("graph_add", (ctypes.c_int * len(tapes))(*tapes), len(tapes), _DIMS(*dims))

    def run_graph(self, graph: int) -> None:
        """Queues a graph."""
        self.call("graph_run", graph)

    def synchronize(self) -> None:
        """Waits until all that was queued is done."""
        self.call("synchronize")

    def close(self) -> None:
        """Frees all, after what is queued; calling it again does nothing."""
        self._handle = None
        self._release()

    def _error(self) -> CudaError:
        text: bytes = self._c.tapeout_cuda_error()
        return error_of(text.decode(errors="replace"))


def _release(
    c: ctypes.CDLL, handle: int, pid: int, events: list[int], pinned: list[int], memory: list[int]
) -> None:
    """Frees all that was taken of a device, in the process that took it."""
    if os.getpid() != pid:
        return
    c.tapeout_cuda_synchronize(handle)  # a lost device has nothing to wait for
    for free, owned in (
        (c.tapeout_cuda_event_destroy, events),
        (c.tapeout_cuda_free_pinned, pinned),
        (c.tapeout_cuda_free, memory),
    ):
        for one in owned:
            free(handle, one)
    c.tapeout_cuda_close(handle)


def _bind(library: Path) -> ctypes.CDLL:
    """The player's functions. Raises CudaError when it is not of this version of tapeout."""
    try:
        c = ctypes.CDLL(str(library))
        c.tapeout_cuda_open.restype, c.tapeout_cuda_open.argtypes = _POINTER, [_TEXT, _INT]
        c.tapeout_cuda_error.restype, c.tapeout_cuda_error.argtypes = _TEXT, []
        for name, arguments in _ARGUMENTS.items():
            function = getattr(c, f"tapeout_cuda_{name}")
            function.restype, function.argtypes = _INT, [_POINTER, *arguments]
    except (OSError, AttributeError) as error:  # both name the file
        raise CudaError(f"{error}; {REMEDY}") from None
    c.tapeout_cuda_close.restype = None
    return c
