"""Runs a kernel in Gluon on the CPU: a block after another, its warpgroups as threads.

Tensors are torch's, layouts are nothing, copies and products are done where they are asked for.
Barriers count arrivals and bytes as the machine's do, so that a kernel that waits for what nobody
brings ends with an error, and one that does not wait reads NaN.
"""

import re
import threading
from types import SimpleNamespace

import torch

_SECONDS = 20  # that a barrier waits for what nobody brings


class Values(torch.Tensor):
    """A tensor with Gluon's `split`, by its last axis of two."""

    def split(self):
        return self.unbind(-1)


def _values(tensor):
    return tensor.as_subclass(Values)


class Pointer:
    """Places in a buffer."""

    def __init__(self, buffer, place=0):
        self.buffer, self.place = buffer.view(-1), place

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
    """Memory of a block; NaN until something is written."""

    def __init__(self, tensor):
        self.tensor = tensor

    def index(self, place):
        return Shared(self.tensor[place])

    def slice(self, start, length):
        return Shared(self.tensor[start : start + length])

    def permute(self, axes):
        return Shared(self.tensor.permute(axes))


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
            came = self.changed.wait_for(lambda: self.phase & 1 != parity, _SECONDS)
        assert came, "a barrier waits for what nobody brings"


def run(kernel, buffers, scalars, grid):
    """Runs a kernel whose ``buffers`` are typed; it writes them."""
    taken = [Pointer(buffer) for buffer in buffers]
    for box in kernel.boxes:
        taken[box.buffer] = Matrix(buffers[box.buffer], box)
    body = re.sub(
        r"^(import|from) .*?(\([^)]*\))?$", "", kernel.source_as("kernel", True), flags=re.M
    )
    for block in range(grid[0]):
        scope = _language(block, grid[0])
        exec(compile(body, kernel.suffix or "kernel", "exec"), scope)
        scope["kernel"](*taken, *scalars)


def _language(block, num_blocks):
    """The names that a kernel uses, for one block."""
    changed = threading.Condition()

    def allocate(dtype, shape, layout):
        if layout == "barriers":
            barriers = [Barrier(changed) for _ in range(shape[0])]
            return SimpleNamespace(index=lambda place: barriers[place])
        return Shared(torch.full(shape, float("nan"), dtype=dtype))

    def copy(matrix, place, barrier, target, pred=True):
        if pred:
            target.tensor.copy_(matrix.at(*place))
            barrier.bring(-target.tensor.numel() * target.tensor.element_size())

    def expect(barrier, num_bytes, pred=True):
        if pred:
            barrier.bring(num_bytes, arrivals=1)

    gl = SimpleNamespace(
        **{name: lambda *_, **__: None for name in _LAYOUTS},
        **{name: getattr(torch, name) for name in _TYPES},
        constexpr=lambda value: value,
        static_range=range,
        program_id=lambda axis: block,
        num_programs=lambda axis: num_blocks,
        arange=lambda start, end, layout: _values(torch.arange(start, end)),
        zeros=lambda shape, dtype, layout: _values(torch.zeros(shape, dtype=dtype)),
        load=_load,
        store=_store,
        convert_layout=lambda values, layout, assert_trivial=False: values,
        allocate_shared_memory=allocate,
        warp_specialize=_specialize,
        minimum=_either(torch.minimum, min),
        maximum=_either(torch.maximum, max),
        **_FUNCTIONS,
    )
    jit = SimpleNamespace(jit=lambda function: function)
    nothing = SimpleNamespace(gdc_wait=lambda: None, gdc_launch_dependents=lambda: None)
    return {
        "gl": gl,
        "gluon": jit,
        "triton": jit,
        "tl": SimpleNamespace(extra=SimpleNamespace(cuda=nothing), **_FUNCTIONS),
        "tma": SimpleNamespace(async_copy_global_to_shared=copy),
        "mbarrier": SimpleNamespace(
            MBarrierLayout=lambda: "barriers",
            init=lambda barrier, count: barrier.init(count),
            expect=expect,
            wait=lambda barrier, parity: barrier.wait(parity),
            arrive=lambda barrier, count: barrier.bring(arrivals=count),
        ),
        "fence_async_shared": lambda: None,
        "warpgroup_mma": _multiply,
        "warpgroup_mma_wait": lambda count, deps: deps[0],
    }


_LAYOUTS = ("NVMMASharedLayout", "NVMMADistributedLayout", "DistributedLinearLayout")
_LAYOUTS += ("BlockedLayout", "SliceLayout")
_FUNCTIONS = {name: getattr(torch, name) for name in ("sum", "exp", "exp2", "log2", "rsqrt")}
_TYPES = ("float32", "bfloat16", "float16", "int32", "int64")


def _specialize(partitions, num_warps, registers):
    """All at once; the first error of any ends the block."""
    errors = []

    def work(function, arguments):
        try:
            function(*arguments)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=one, daemon=True) for one in partitions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _multiply(left, right, sums, is_async):
    return sums + _values(left.tensor.float() @ right.tensor.float())


def _load(pointer, mask=None, other=0.0):
    if not isinstance(pointer.place, torch.Tensor):
        return pointer.buffer[pointer.place].item()
    place, mask = torch.broadcast_tensors(
        pointer.place, torch.tensor(True) if mask is None else mask
    )
    found = pointer.buffer[torch.where(mask, place, 0).as_subclass(torch.Tensor)]
    return _values(torch.where(mask, found, torch.tensor(other, dtype=found.dtype)))


def _store(pointer, values, mask):
    place, mask, values = torch.broadcast_tensors(pointer.place, mask, values)
    mask = mask.as_subclass(torch.Tensor)
    pointer.buffer[place.as_subclass(torch.Tensor)[mask]] = values.as_subclass(torch.Tensor)[mask]


def _either(of_tensors, of_numbers):
    """A function of tensors, numbers, or one of either."""

    def both(left, right):
        if not isinstance(left, torch.Tensor) and not isinstance(right, torch.Tensor):
            return of_numbers(left, right)
        return of_tensors(
            *(x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in (left, right))
        )

    return both
