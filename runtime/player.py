"""The binding of the player: the artifact's small C library that walks tapes of kernel launches.

It is handed addresses, so whoever adds a tape keeps the memory behind them alive until `close`.
"""

import ctypes
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import TapeoutError

Dims = tuple[int, int, int, int]  # T, S, R, P
Coefficients = tuple[int, int, int, int, int]  # constant, T, S, R, P

_LEVEL_RANKS = {"x86-64-v3": 1, "x86-64-v4": 2, "x86-64-v4-bf16": 3}
_ERROR_BYTES = 512
REMEDY = "compile the model anew, or put it where libraries may be loaded from"
_C_DIMS = ctypes.c_int64 * 4
_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "tapeout_cpu_level": (_INT, []),
    "tapeout_player_open": (_POINTER, [_TEXT, _INT, _TEXT, _INT]),
    "tapeout_tape_add": (_INT, [_POINTER, _INT, *[_POINTER] * 5, _TEXT, _INT]),
    "tapeout_tape_run": (_INT, [_POINTER, _INT, _C_DIMS]),
    "tapeout_tape_run_part": (_INT, [_POINTER, _INT, _C_DIMS, _INT, _INT]),
    "tapeout_player_close": (None, [_POINTER]),
}


def one_token_each(dims: Dims) -> bool:
    """Whether a step has one token of each sequence, and a row of logits of each: T = S = R.

    Rows of logits are in the order of their tokens, one of each at most: those are all, in order.
    """
    num_tokens, num_seqs, num_rows, _ = dims
    return num_tokens == num_seqs == num_rows


class PlayerError(TapeoutError):
    """The player could not load the kernels, start its threads or find a kernel."""


class Launch(NamedTuple):
    """One launch of a tape, with every buffer bound to an address."""

    kernel: str
    buffers: Sequence[int]
    scalars: Sequence[Coefficients]


class PlayerLibrary:
    """`player.so` of an artifact, whose hash the caller has checked. Raises PlayerError."""

    def __init__(self, path: Path) -> None:
        try:
            self.c = ctypes.CDLL(str(path))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(self.c, name)  # kept by the library; self.c[name] is not
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:  # both name the file
            raise PlayerError(f"{error}; {REMEDY}") from None
        self.cpu_level = int(self.c.tapeout_cpu_level())

    def supports(self, level: str) -> bool:
        """Whether this CPU runs kernels of an instruction-set level."""
        return level in _LEVEL_RANKS and _LEVEL_RANKS[level] <= self.cpu_level


class Player:
    """A loaded library of kernels with its own threads; the caller's thread is one of them."""

    def __init__(self, library: PlayerLibrary, kernels: Path, num_threads: int) -> None:
        self._c = library.c
        self._dims = _C_DIMS()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        handle = self._c.tapeout_player_open(
            str(kernels).encode(), num_threads, error, _ERROR_BYTES
        )
        if not handle:
            said = error.value.decode(errors="replace")
            named = said if str(kernels) in said else f"{kernels}: {said}"
            raise PlayerError(f"{named}; {REMEDY}")
        self._handle: int | None = handle
        self._pid = os.getpid()

    def add_tape(self, launches: Sequence[Launch]) -> int:
        """Gives the number of the new tape. Raises PlayerError naming a missing kernel."""
        names = (_TEXT * len(launches))(*(launch.kernel.encode() for launch in launches))
        buffers = [address for launch in launches for address in launch.buffers]
        scalars = [c for launch in launches for scalar in launch.scalars for c in scalar]
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        tape = self._c.tapeout_tape_add(
            self._handle,
            len(launches),
            names,
            _begins(len(launch.buffers) for launch in launches),
            (_POINTER * len(buffers))(*buffers),
            _begins(len(launch.scalars) for launch in launches),
            (ctypes.c_int64 * len(scalars))(*scalars),
            error,
            _ERROR_BYTES,
        )
        if tape < 0:
            raise PlayerError(error.value.decode(errors="replace"))
        return int(tape)

    def run(self, tape: int, dims: Dims) -> None:
        """Runs a tape for one step's T, S, R, P and returns when it is done."""
        assert self._handle is not None, "the player is closed"
        self._dims[:] = list(dims)
        status = self._c.tapeout_tape_run(self._handle, tape, self._dims)
        assert status == 0, f"tape {tape} of the player failed with {status}"

    def run_part(self, tape: int, dims: Dims, begin: int, end: int) -> None:
        """Runs launches `begin` to `end` of a tape: for looking at what each of them does."""
        assert self._handle is not None, "the player is closed"
        self._dims[:] = list(dims)
        status = self._c.tapeout_tape_run_part(self._handle, tape, self._dims, begin, end)
        assert status == 0, f"tape {tape} of the player failed with {status}"

    def close(self) -> None:
        """Ends the threads and unloads the kernels; calling it again, or in a fork of the process,
        where there are no threads to wait for, does nothing."""
        if self._handle is not None and os.getpid() == self._pid:
            self._c.tapeout_player_close(self._handle)
            self._handle = None


def _begins(counts: Iterable[int]) -> "ctypes.Array[ctypes.c_int32]":
    """Where each launch's entries begin, and the end of the last: i32[n + 1]."""
    begins = [0, *itertools.accumulate(counts)]
    return (ctypes.c_int32 * len(begins))(*begins)
