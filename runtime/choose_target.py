"""Which of an artifact's targets runs here: a GPU's if there is such a GPU, else the CPU's."""

import logging

from ..artifact import Artifact
from ..errors import InputError
from .cuda.device import CudaError, Device
from .executor import TARGET as CPU

_CUDA = "cuda:sm_"
_log = logging.getLogger(__name__)


def choose_target(artifact: Artifact) -> tuple[str, Device | None]:
    """The name of the target, and its device if that is a GPU.

    Raises InputError that says for each target why it cannot be used.
    """
    targets = artifact.manifest.targets
    reasons = []
    for name in targets:
        if name.startswith(_CUDA):
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


def _find(artifact: Artifact, name: str) -> Device | str:
    """The device that runs a target, or why there is none."""
    try:
        device = Device(artifact.file_path(artifact.manifest.targets[name].player))
    except CudaError as error:
        return str(error)
    if _runs(name.removeprefix(_CUDA), device.facts.capability):
        return device
    device.close()
    return f"the GPU is sm_{device.facts.capability}, {device.facts.name}"


def _runs(built_for: str, capability: int) -> bool:
    """Machine code runs on its own generation, from its own version on; `90a` on 90 alone."""
    wanted = int(built_for.removesuffix("a"))
    if built_for.endswith("a"):
        return capability == wanted
    return capability // 10 == wanted // 10 and capability >= wanted
