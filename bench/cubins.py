"""Launches compiled kernels on torch's stream through the driver, to time them in graphs."""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

_MAX_SHARED_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES


class Cubin:
    """A kernel on the current device."""

    def __init__(self, path: Path, entry: str, num_warps: int, shared_bytes: int) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._num_threads, self._shared_bytes = 32 * num_warps, shared_bytes
        torch.cuda.current_stream()
        torch.zeros(1, device="cuda")
        module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), path.read_bytes())
        self._call("cuModuleGetFunction", ctypes.byref(self._function), module, entry.encode())
        self._call("cuFuncSetAttribute", self._function, _MAX_SHARED_BYTES, shared_bytes)

    def launch(
        self, grid: Sequence[int], tensors: Sequence[torch.Tensor], scalars: Sequence[int]
    ) -> None:
        """Queues a launch."""
        values = [ctypes.c_uint64(tensor.data_ptr()) for tensor in tensors]
        values += [ctypes.c_int32(scalar) for scalar in scalars]
        values += [ctypes.c_uint64(0), ctypes.c_uint64(0)]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        blocks = (*grid, self._num_threads, 1, 1, self._shared_bytes)
        self._call("cuLaunchKernel", self._function, *blocks, stream, pointers, None)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} gave {code}")


def graph_ms(run: Callable[[], None], replays: int = 20) -> float:
    """Median milliseconds of a replay of what ``run`` queues."""
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(replays + 1)]
    graph.replay()
    for event in events[:-1]:
        event.record()
        graph.replay()
    events[-1].record()
    torch.cuda.synchronize()
    times = sorted(a.elapsed_time(b) for a, b in zip(events, events[1:], strict=False))
    return times[len(times) // 2]
