"""Which of an artifact's targets runs here: a GPU's if there is such a GPU, else the CPU's."""

import logging
from collections.abc import Sequence

from ..artifact import Artifact
from ..errors import InputError
from .cuda.device import CudaError, Device
from .executor import TARGET as CPU

_CUDA = "cuda:sm_"
_OWN_FEATURES = 90  # code for this version and later ones uses what no other version has
_NEEDS = {
    "x86-64-v3": "AVX2",
    "x86-64-v4": "AVX-512",
    "x86-64-v4-bf16": "AVX-512, and its products of bf16",
}
_log = logging.getLogger(__name__)


def choose_target(artifact: Artifact) -> tuple[str, Device | None]:
    """The name of the target, and its device if that is a GPU.

    Raises InputError that says for each target why it cannot be used.
    """
    targets = artifact.manifest.targets
    reasons = []
    for name, target in targets.items():
        if target.player is None:
            reasons.append(f"{name} (there is no player for it yet)")
        elif name.startswith(_CUDA):
            found = _find(artifact, name)
            if isinstance(found, Device):
                return name, found
            reasons.append(f"{name} ({found})")
    if CPU not in targets:
        wrong = ", ".join(reasons) or ", ".join(targets)
        raise InputError(
            f"{artifact.path} is built for what is not here: {wrong}; build it for {CPU}, or for "
            "the GPU of this machine"
        )
    if reasons:
        _log.info("%s runs on the CPU, for others cannot be used: %s", artifact.path, reasons)
    return CPU, None


def describe_devices(target_name: str, levels: Sequence[str]) -> str:
    """What runs an artifact's target, in words; `levels` are those of a CPU, the best first."""
    if target_name == CPU:
        return f"x86-64 CPUs with {_NEEDS[levels[-1]]}"
    if not target_name.startswith(_CUDA):
        return "nothing yet: its kernels are compiled, but there is no player for it"
    version = int(target_name.removeprefix(_CUDA))
    last = str(version) if version >= _OWN_FEATURES else f"{version // 10}x, from {version} on"
    return f"NVIDIA GPUs of version sm_{last}"


def _find(artifact: Artifact, name: str) -> Device | str:
    """The device that runs a target, or why there is none."""
    target = artifact.manifest.targets[name]
    assert target.player is not None
    try:
        device = Device(artifact.file_path(target.player))
    except CudaError as error:
        return str(error)
    facts = device.facts
    wanted = max(
        (kernel.cubin.shared_bytes for kernel in target.kernels if kernel.cubin), default=0
    )
    if _runs(int(name.removeprefix(_CUDA)), facts.capability) and wanted <= facts.shared_bytes:
        return device
    device.close()
    shared = f", whose blocks have {facts.shared_bytes} bytes of shared memory, not {wanted}"
    shared = shared if wanted > facts.shared_bytes else ""
    return f"the GPU is sm_{facts.capability}, {facts.name}{shared}"


def _runs(built_for: int, capability: int) -> bool:
    """Machine code runs on its own generation, from its own version on; if it uses the features of
    its version, on that alone."""
    if built_for >= _OWN_FEATURES:
        return capability == built_for
    return capability // 10 == built_for // 10 and capability >= built_for
