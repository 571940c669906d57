"""Which of an artifact's targets runs here: a GPU's if there is such a GPU, else the CPU's."""

import logging
from collections.abc import Sequence

from ..artifact import Artifact
from ..errors import InputError
from .cuda.device import Device
from .cuda.errors import CudaError, NoDeviceError
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
    """The name of the target, and its device if that is a GPU: of several that run here the last.

    Raises InputError that says for each target why it cannot be used.
    """
    targets = artifact.manifest.targets
    reasons, kinds = [], set()
    for name in sorted(targets, key=_version, reverse=True):
        if targets[name].player is None:
            reasons.append(f"{name} (there is no player for it yet)")
        elif name.startswith(_CUDA):
            try:
                return name, _find(artifact, name)
            except CudaError as error:
                reasons.append(f"{name} ({error})")
                kinds.add(type(error))
    if CPU not in targets:
        wrong = ", ".join(reasons) or ", ".join(targets)
        gpu = "for the GPU of this machine"
        if kinds == {NoDeviceError}:
            gpu = "run it where there is such a GPU"
        raise InputError(
            f"{artifact.path} is built for what is not here: {wrong}; build it for {CPU}, or {gpu}"
        )
    if reasons:
        level = logging.WARNING if kinds - {NoDeviceError} else logging.INFO
        _log.log(level, "%s runs on the CPU, for there is no %s", artifact.path, ", ".join(reasons))
    return CPU, None


def describe_devices(target_name: str, levels: Sequence[str]) -> str:
    """What runs an artifact's target, in words; `levels` are those of a CPU, the best first."""
    if target_name == CPU:
        return f"x86-64 CPUs with {_NEEDS[levels[-1]]}"
    if not target_name.startswith(_CUDA):
        return "nothing yet: its kernels are compiled, but there is no player for it"
    version = _version(target_name)
    last = str(version) if version >= _OWN_FEATURES else f"{version // 10}x, from {version} on"
    return f"NVIDIA GPUs of version sm_{last}"


def _version(target_name: str) -> int:
    """The GPU's that a target is built for; 0 for others."""
    return int(target_name.removeprefix(_CUDA)) if target_name.startswith(_CUDA) else 0


def _find(artifact: Artifact, name: str) -> Device:
    """The device that runs a target. Raises CudaError that says why there is none."""
    target = artifact.manifest.targets[name]
    assert target.player is not None
    device = Device(artifact.file_path(target.player))
    facts = device.facts
    wanted = max(
        (kernel.cubin.shared_bytes for kernel in target.kernels if kernel.cubin), default=0
    )
    if _runs(_version(name), facts.capability) and wanted <= facts.shared_bytes:
        return device
    device.close()
    shared = f", whose blocks have {facts.shared_bytes} bytes of shared memory, not {wanted}"
    shared = shared if wanted > facts.shared_bytes else ""
    raise CudaError(f"the GPU is sm_{facts.capability}, {facts.name}{shared}")


def _runs(built_for: int, capability: int) -> bool:
    """Machine code runs on its own generation, from its own version on; if it uses the features of
    its version, on that alone."""
    if built_for >= _OWN_FEATURES:
        return capability == built_for
    return capability // 10 == built_for // 10 and capability >= built_for
