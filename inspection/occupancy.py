"""How many blocks of a kernel a multiprocessor holds at once, by what each takes of it.

From the table of compute capabilities in the CUDA programming guide, and AMD's of the MI300X.
"""

from typing import NamedTuple

from ..artifact import Cubin


class Multiprocessor(NamedTuple):
    """What blocks share. Registers are 32 bits wide and are given out to whole warps."""

    warp_size: int  # threads
    max_warps: int
    max_blocks: int
    registers: int
    register_unit: int  # a warp's registers are a multiple of it
    shared_bytes: int
    shared_unit: int  # a block's bytes are a multiple of it
    reserved_bytes: int  # of shared memory, which every block takes beside its own


class Occupancy(NamedTuple):
    """What runs at once on a multiprocessor."""

    blocks: int
    share: float  # of the warps that it could hold
    limit: str  # what there is no more of for another block: registers, shared memory, ...


_NUM_PARTITIONS = 4  # of a multiprocessor, each with a quarter of the registers


def _cuda(max_warps: int, max_blocks: int, shared_kib: int) -> Multiprocessor:
    return Multiprocessor(32, max_warps, max_blocks, 65536, 256, shared_kib << 10, 128, 1024)


_MULTIPROCESSORS = {
    "cuda:sm_80": _cuda(64, 32, 164),
    "cuda:sm_89": _cuda(48, 24, 100),
    "cuda:sm_90": _cuda(64, 32, 228),
    "cuda:sm_100": _cuda(64, 32, 228),
    "cuda:sm_120": _cuda(48, 24, 100),
    "hip:gfx942": Multiprocessor(64, 32, 16, 131072, 512, 64 << 10, 512, 0),
}


def occupancy_of(target: str, cubin: Cubin) -> Occupancy | None:
    """The occupancy of a kernel; None for a target that is not known, or a block that fits none."""
    limits = _MULTIPROCESSORS.get(target)
    if limits is None or not cubin.num_warps:
        return None
    blocks = {
        "warps": limits.max_warps // cubin.num_warps,
        "blocks": limits.max_blocks,
        "registers": _warps_by_registers(limits, cubin.registers) // cubin.num_warps,
        "shared memory": limits.shared_bytes // max(_shared_bytes(limits, cubin.shared_bytes), 1),
    }
    limit = min(blocks, key=lambda name: blocks[name])
    if not blocks[limit]:
        return None
    return Occupancy(blocks[limit], blocks[limit] * cubin.num_warps / limits.max_warps, limit)


def threads_of(target: str, cubin: Cubin) -> int | None:
    """Threads of a block; None for a target that is not known."""
    limits = _MULTIPROCESSORS.get(target)
    return limits and cubin.num_warps * limits.warp_size


def _warps_by_registers(limits: Multiprocessor, registers: int) -> int:
    of_a_warp = _up(max(registers, 1) * limits.warp_size, limits.register_unit)
    return limits.registers // _NUM_PARTITIONS // of_a_warp * _NUM_PARTITIONS


def _shared_bytes(limits: Multiprocessor, num_bytes: int) -> int:
    return _up(num_bytes + limits.reserved_bytes, limits.shared_unit)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
