"""The memory that kernels use, as tensors of torch: nothing is copied."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import prod

import torch

from ..ir.ops.dtypes import to_torch
from ..ir.types import DType
from ..runtime.memory import Place


def tensor_at(place: Place, dtype: DType, shape: Sequence[int]) -> torch.Tensor:
    """What lies at a place, dense; it is valid as long as the memory is."""
    num_bytes = prod(shape) * dtype.itemsize
    if not num_bytes:
        return torch.empty(tuple(shape), dtype=to_torch(dtype))
    flat = _on_device(place, num_bytes) if place.on_device else _on_host(place, num_bytes)
    return flat.view(to_torch(dtype)).view(tuple(shape))


def _on_host(place: Place, num_bytes: int) -> torch.Tensor:
    memory = (ctypes.c_uint8 * num_bytes).from_address(place.address)
    return torch.frombuffer(memory, dtype=torch.uint8)


def _on_device(place: Place, num_bytes: int) -> torch.Tensor:
    return torch.as_tensor(_DeviceBytes(place.address, num_bytes), device="cuda")


class _DeviceBytes:
    """What torch takes for an array on a GPU."""

    def __init__(self, address: int, num_bytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (num_bytes,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }
