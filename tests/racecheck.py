"""What NVIDIA's racecheck reports, less what it takes for a race wherever warps are specialized.

Warps that Triton starts for work of their own read what to do, and with what, from shared memory
behind all buffers, between barriers of the whole block. racecheck does not follow these: a product
whose warps share nothing else is told to race there, each run a little differently.
"""

import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HAND_OVER_BYTES = 512  # of what stands behind a kernel's buffers
_ACCESS = re.compile(r"(?:Read|Write) access at (\w+)\+0x([0-9a-f]+)")
_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(.*?);")
_PLACE = re.compile(r"\[.*?(?:\+0x([0-9a-f]+))?\]")


def races(report, artifact):
    """Pairs of accesses of an artifact's kernels that are reported, and are of buffers.

    A report that tells of no pair at all is of something else, or is not understood.
    """
    kernels = {kernel.name: kernel for kernel in _kernels(artifact)}
    found, first = set(), None
    for line in report.splitlines():
        if match := _ACCESS.search(line):
            access = (match[1], int(match[2], 16))
            if "Race reported" in line:
                first = access
            elif not all(_is_of_hand_over(artifact, kernels[n], at) for n, at in (first, access)):
                found.add((first, access))
    assert first is not None, report[-4000:]
    return found


def _kernels(artifact):
    return [k for target in artifact.manifest.targets.values() for k in target.kernels]


def _is_of_hand_over(artifact, kernel, at):
    code = artifact.read(kernel.cubin.file)
    place = _PLACE.search(_instructions(code)[at])
    assert place, f"{kernel.name} does not read or write at {at:#x}"
    end = kernel.cubin.shared_bytes
    return end - HAND_OVER_BYTES <= int(place[1] or "0", 16) < end


@cache
def _instructions(code):
    """The text of each instruction, by its place."""
    from triton.backends import nvidia

    tool = Path(nvidia.__file__).parent / "bin" / "nvdisasm"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        done = subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True)
    return {int(at, 16): text for at, text in _INSTRUCTION.findall(done.stdout)}
