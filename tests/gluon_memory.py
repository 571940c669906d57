"""What kernels in Gluon hold and wait for, on the CPU: see `gluon_on_cpu`."""

import random
import time
from types import SimpleNamespace

import torch

SECONDS = 20  # that a barrier waits for what nobody brings


class Values(torch.Tensor):
    """A tensor with Gluon's `split`, by its last axis of two, and numbers without a sign."""

    def split(self, *sizes):
        return super().split(*sizes) if sizes else self.unbind(-1)

    def to(self, dtype):
        return self.long() & 0xFFFFFFFF if dtype == "uint32" else super().to(dtype)


def values_of(tensor):
    return tensor.as_subclass(Values)


class Pointer:
    """Places in a buffer."""

    def __init__(self, buffer, place=0):
        self.buffer, self.place = buffer.view(-1), place
        self.dtype = SimpleNamespace(element_ty=buffer.dtype)

    def __add__(self, places):
        return Pointer(self.buffer, self.place + places)


class Matrix:
    """A buffer as the tensor unit reads it: boxes of a matrix, zeros beyond its ends."""

    def __init__(self, buffer, box):
        self.rows, self.box = buffer.view(-1)[: buffer.numel() // box.width * box.width], box
        self.rows = self.rows.view(-1, box.width)

    def at(self, row, column):
        found = self.rows[row : row + self.box.rows, column : column + self.box.columns]
        whole = torch.zeros(self.box.rows, self.box.columns, dtype=found.dtype)
        whole[: found.shape[0], : found.shape[1]] = found
        return whole


class Shared:
    """Memory of a block; NaN until something is written.

    Matrices that are wider than 64 columns lie as panels of 64.
    """

    def __init__(self, tensor, is_transposed=False):
        self.tensor, self._is_transposed = tensor, is_transposed

    @classmethod
    def of(cls, shape, dtype):
        *before, rows, columns = shape
        panels = [columns // 64, rows, 64] if columns > 64 else [1, rows, columns]
        return cls(torch.full([*before, *panels], float("nan"), dtype=dtype))

    def index(self, place):
        return Shared(self.tensor[place])

    def slice(self, start, length):
        return Shared(self.tensor[..., start : start + length, :])

    def permute(self, axes):
        return Shared(self.tensor, is_transposed=True)

    def load(self, layout=None):
        matrix = torch.cat([*self.tensor], -1)
        return values_of(matrix.T if self._is_transposed else matrix)

    def store(self, values):
        time.sleep(random.choice((0, 0, 0, 2e-3)))  # warpgroups are late now and then
        for panel, part in zip(self.tensor, values.split(64, -1), strict=True):
            panel.copy_(part)

    def _reinterpret(self, dtype, shape, layout):
        return Shared(self.tensor.view(*shape[:-2], 1, *shape[-2:]))


class Barrier:
    """Of a block: a phase ends with its last arrival and its last byte."""

    def __init__(self, changed):
        self.changed, self.phase, self.bytes = changed, 0, 0

    def init(self, count):
        self.count = self.left = count

    def bring(self, num_bytes=0, arrivals=0):
        with self.changed:
            self.bytes += num_bytes
            self.left -= arrivals
            assert self.left >= 0, "more arrive than a barrier waits for"
            if self.left == 0 and self.bytes == 0:
                self.phase, self.left = self.phase + 1, self.count
            self.changed.notify_all()

    def wait(self, parity):
        with self.changed:
            came = self.changed.wait_for(lambda: self.phase & 1 != parity, SECONDS)
        assert came, "a barrier waits for what nobody brings"
