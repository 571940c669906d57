"""What the CPU of this machine can run."""

from pathlib import Path

LEVELS = {  # best first, and a flag that each needs
    "x86-64-v4-bf16": "avx512_bf16",
    "x86-64-v4": "avx512bw",
    "x86-64-v3": "avx2",
}


def native_levels() -> list[str]:
    """The instruction-set levels of this CPU, best first."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return [level for level, flag in LEVELS.items() if flag in flags]
