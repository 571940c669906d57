"""The GPUs that kernels are compiled for, and what a block may take on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuTarget:
    """One kind of GPU, as Triton and its kernels know it."""

    backend: str  # Triton's: cuda or hip
    arch: int | str
    warp_size: int  # threads
    shared_bytes: int  # of a block, the most that a kernel can ask for
    registers: int  # of a multiprocessor, 32 bits each
    binary: str  # what compiling gives, also the suffix of its file
    assembly: str  # what Triton calls the text of that

    @property
    def hopper_or_later(self) -> bool:
        """Of NVIDIA's: kernels may begin early there, and there are tensor maps."""
        return isinstance(self.arch, int) and self.arch >= 90

    @property
    def has_warpgroup_products(self) -> bool:
        """Whether it multiplies by warpgroups from shared memory, which only sm_90 does."""
        return self.arch == 90


def _cuda(arch: int, shared_kib: int) -> GpuTarget:
    return GpuTarget("cuda", arch, 32, shared_kib << 10, 65536, "cubin", "ptx")


TARGETS: Mapping[str, GpuTarget] = {
    "cuda:sm_80": _cuda(80, 163),
    "cuda:sm_89": _cuda(89, 99),
    "cuda:sm_90": _cuda(90, 227),
    "cuda:sm_100": _cuda(100, 227),
    "cuda:sm_120": _cuda(120, 99),
    "hip:gfx942": GpuTarget("hip", "gfx942", 64, 64 << 10, 131072, "hsaco", "amdgcn"),
}
"""By the name that `tapeout compile --target` takes."""
