"""Launches compiled kernels on torch's stream through the driver, to time them in graphs."""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tapeout.artifact import TensorMap

_MAX_SHARED_BYTES = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_ELEMENTS = {"fp16": 6, "bf16": 9}  # the driver's numbers
_PROMOTE_TO_128_BYTES = 2


class Cubin:
    """A kernel on the current device; ``maps`` are of the buffers that it reads by boxes."""

    def __init__(
        self,
        path: Path,
        entry: str,
        num_warps: int,
        shared_bytes: int,
        maps: Sequence[TensorMap] = (),
    ) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._num_threads, self._shared_bytes = 32 * num_warps, shared_bytes
        self._maps = {tensor_map.buffer: tensor_map for tensor_map in maps}
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
        values: list[ctypes.Array | ctypes._SimpleCData] = []
        for place, tensor in enumerate(tensors):
            if place in self._maps:
                values += self._matrix(self._maps[place], tensor)
            else:
                values.append(ctypes.c_uint64(tensor.data_ptr()))
        values += [ctypes.c_int32(scalar) for scalar in scalars]
        values += [ctypes.c_uint64(0), ctypes.c_uint64(0)]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        blocks = (*grid, self._num_threads, 1, 1, self._shared_bytes)
        self._call("cuLaunchKernel", self._function, *blocks, stream, pointers, None)

    def _matrix(self, asked: TensorMap, tensor: torch.Tensor) -> list:
        """A tensor as the tensor unit and its kernel are told of it."""
        width = asked.width
        rows = tensor.numel() * tensor.element_size() // (2 * width)
        space = (ctypes.c_uint64 * 24)()  # the map wants a multiple of 64 as its place
        place = ctypes.addressof(space) + -ctypes.addressof(space) % 64
        made = (ctypes.c_uint64 * 16).from_buffer(space, place - ctypes.addressof(space))
        sizes, strides = (ctypes.c_uint64 * 2)(width, rows), (ctypes.c_uint64 * 1)(2 * width)
        box, every = (ctypes.c_uint32 * 2)(*asked.box[::-1]), (ctypes.c_uint32 * 2)(1, 1)
        address = ctypes.c_uint64(tensor.data_ptr())
        shape = (address, sizes, strides, box, every)
        kind = (0, asked.swizzle, _PROMOTE_TO_128_BYTES, 0)
        self._call("cuTensorMapEncodeTiled", made, _ELEMENTS[asked.dtype], 2, *shape, *kind)
        sides = [ctypes.c_int32(rows), ctypes.c_int32(width)]
        return [made, *sides, ctypes.c_int64(width), ctypes.c_int64(1)]

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
