"""Memory for arena, pages and inputs: zeroed, aligned, and taken once."""

import mmap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError

ALIGNMENT_BYTES = 64  # what kernels may assume of every buffer
_HUGE_BYTES = 4 << 20

Bytes = NDArray[np.uint8]


class Place(NamedTuple):
    """Where a buffer of a launch begins: in the host's memory, or in that of a device."""

    address: int
    on_device: bool


def round_up(num_bytes: int) -> int:
    """To the next multiple of the alignment."""
    return -(-num_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def allocate(num_bytes: int, purpose: str) -> Bytes:
    """Zeroed, page-aligned bytes that cost real memory only once they are touched.

    Raises CapacityError naming `purpose` and the size if the system refuses.
    """
    try:
        region = mmap.mmap(-1, max(num_bytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise CapacityError(
            f"{purpose}: {num_bytes} bytes cannot be allocated ({error}); lower max_num_seqs, "
            "max_model_len, max_num_batched_tokens or kv_cache_bytes"
        ) from None
    if num_bytes >= _HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        region.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(region, np.uint8)[:num_bytes]
