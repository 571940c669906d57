"""Errors of a GPU's driver, each with what helps against it."""

import os

from ...errors import CapacityError, TapeoutError, shown

FORKED = (
    "a model on a GPU cannot be used in a fork of its process, nor loaded there; start that "
    "process by spawn"
)
_DRIVER = "update the GPU's driver, or compile the model anew"
_LOOK = "see what nvidia-smi and dmesg say of the GPU"
_ENDED = "this process cannot use the GPU any more: start a new one"
_REMEDIES = {
    "OUT_OF_MEMORY": (
        "lower gpu_memory_utilization, kv_cache_bytes, max_num_seqs, max_num_batched_tokens or "
        "max_model_len, or end what else uses this GPU"
    ),
    "NOT_INITIALIZED": FORKED,
    "STUB_LIBRARY": "take the toolkit's stubs out of LD_LIBRARY_PATH: they are no driver",
    "DEVICE_UNAVAILABLE": "end the process that has this GPU to itself, or choose another GPU",
    "SYSTEM_DRIVER_MISMATCH": "restart the machine: its driver was updated",
    "SYSTEM_NOT_READY": "wait until the services of the driver run",
    "COMPAT_NOT_SUPPORTED_ON_DEVICE": "take the compatibility package out of LD_LIBRARY_PATH",
    **dict.fromkeys(("UNKNOWN", "OPERATING_SYSTEM", "EXTERNAL_DEVICE"), _LOOK),
    **dict.fromkeys(("INVALID_IMAGE", "NO_BINARY_FOR_GPU", "UNSUPPORTED_PTX_VERSION"), _DRIVER),
    **dict.fromkeys(
        (
            "ILLEGAL_ADDRESS",
            "ILLEGAL_INSTRUCTION",
            "MISALIGNED_ADDRESS",
            "INVALID_ADDRESS_SPACE",
            "INVALID_PC",
            "LAUNCH_FAILED",
            "LAUNCH_TIMEOUT",
            "HARDWARE_STACK_ERROR",
            "ASSERT",
            "ECC_UNCORRECTABLE",
            "NVLINK_UNCORRECTABLE",
            "CONTAINED",
        ),
        _ENDED,
    ),
}
"""By the driver's name of the error, without CUDA_ERROR_."""


class CudaError(TapeoutError):
    """A call of the GPU's driver failed; the message names the call and the driver's error."""


class NoDeviceError(CudaError):
    """There is no driver here, or it shows no GPU."""


class DeviceFullError(CudaError, CapacityError):
    """The GPU, or what it can reach of the host, has no memory left for what was asked."""


def error_of(said: str) -> CudaError:
    """The error that a driver's words stand for, with what helps."""
    for name, remedy in _REMEDIES.items():
        if f"CUDA_ERROR_{name} " in said:
            kind = DeviceFullError if name == "OUT_OF_MEMORY" else CudaError
            return kind(f"{said}; {remedy}")
    if "CUDA_ERROR_NO_DEVICE " in said:
        return NoDeviceError(said + _chosen())
    return NoDeviceError(said) if said.startswith("driver: ") else CudaError(said)


def _chosen() -> str:
    """What hides every GPU there may be."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return ""
    return f"; CUDA_VISIBLE_DEVICES={shown(repr(visible))} names none that is here: unset it"
