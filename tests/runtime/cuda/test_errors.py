import pytest

from tapeout.errors import CapacityError
from tapeout.runtime.cuda.errors import CudaError, DeviceFullError, NoDeviceError, error_of


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        (
            "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)",
            DeviceFullError,
            "; lower gpu_",
        ),
        (
            "cuInit: CUDA_ERROR_NOT_INITIALIZED (initialization error)",
            CudaError,
            "fork .* by spawn",
        ),
        ("cuInit: CUDA_ERROR_STUB_LIBRARY (a stub)", CudaError, "out of LD_LIBRARY_PATH"),
        ("cuInit: CUDA_ERROR_UNKNOWN (unknown error)", CudaError, "nvidia-smi and dmesg"),
        ("cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (x)", CudaError, "; restart the machine"),
        (
            "cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU (x)",
            CudaError,
            "; update the GPU's driver",
        ),
        ("cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED (x)", CudaError, "start a new one"),
        ("cuInit: CUDA_ERROR_NO_DEVICE (none)", NoDeviceError, "none.$"),
        ("driver: libcuda.so.1: cannot open shared object file", NoDeviceError, "file$"),
        ("cuLaunchKernelEx: CUDA_ERROR_INVALID_VALUE (invalid)", CudaError, "invalid.$"),
    ],
)
def test_what_a_driver_says_becomes_an_error_with_what_helps(monkeypatch, said, kind, remedy):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    error = error_of(said)
    assert type(error) is kind and str(error).startswith(said)
    with pytest.raises(kind, match=remedy):
        raise error


def test_memory_that_is_short_is_caught_as_any_other_bound():
    assert issubclass(DeviceFullError, CapacityError)
