"""Runs a kernel in Gluon on the CPU: a block after another, its warpgroups as threads.

Tensors are torch's, layouts are nothing, copies and products are done where they are asked for.
Barriers count arrivals and bytes as the machine's do, so that a kernel that waits for what nobody
brings ends with an error, and one that does not wait reads NaN.
"""

import re
import threading
from itertools import product
from types import SimpleNamespace

import torch
from gluon_memory import Barrier, Matrix, Pointer, Shared, values_of


def run(kernel, buffers, scalars, grid):
    """Runs a kernel whose ``buffers`` are typed, block by block; it writes them."""
    taken = [Pointer(buffer) for buffer in buffers]
    for box in kernel.boxes:
        taken[box.buffer] = Matrix(buffers[box.buffer], box)
    source = kernel.source_as("kernel", True)
    body = re.sub(r"^(import|from) .*?(\([^)]*\))?$", "", source, flags=re.M)
    code = compile(body, kernel.suffix or "kernel", "exec")
    for block in product(*map(range, grid)):
        scope = _language(block, grid)
        exec(code, scope)
        scope["kernel"](*taken, *scalars)


def _language(block, grid):
    """The names that a kernel uses, for one block."""
    changed = threading.Condition()

    def allocate(dtype, shape, layout):
        if layout == "barriers":
            barriers = [Barrier(changed) for _ in range(shape[0])]
            return SimpleNamespace(index=lambda place: barriers[place])
        return Shared.of(shape, dtype)

    def copy(matrix, place, barrier, target, pred=True):
        if pred:
            target.store(matrix.at(*place))
            barrier.bring(-target.tensor.numel() * target.tensor.element_size())

    def expect(barrier, num_bytes, pred=True):
        if pred:
            barrier.bring(num_bytes, arrivals=1)

    gl = SimpleNamespace(
        **dict.fromkeys(_LAYOUTS, _Layout),
        **{name: getattr(torch, name) for name in _TYPES},
        constexpr=lambda value: value,
        static_range=range,
        uint32="uint32",
        program_id=lambda axis: block[axis],
        num_programs=lambda axis: grid[axis],
        arange=lambda start, end, layout: values_of(torch.arange(start, end)),
        zeros=lambda shape, dtype, layout: values_of(torch.zeros(shape, dtype=dtype)),
        full=lambda shape, value, dtype, layout: values_of(torch.full(shape, value, dtype=dtype)),
        max=torch.amax,
        where=_where,
        inline_asm_elementwise=lambda text, registers, given, *_: 1 / given[0],
        zeros_like=torch.zeros_like,
        atomic_add=_add,
        thread_barrier=lambda: None,
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
        "warpgroup_mma_wait": lambda count, deps: deps[0] if len(deps) == 1 else deps,
    }


class _Layout:
    """Where the elements of a tensor are: nobody asks."""

    value = None

    def __init__(self, *_, **__):
        pass

    @classmethod
    def get_default_for(cls, shape, dtype):
        return cls()


_LAYOUTS = ("NVMMASharedLayout", "NVMMADistributedLayout", "DistributedLinearLayout")
_LAYOUTS += ("BlockedLayout", "SliceLayout", "DotOperandLayout")
_FUNCTIONS = {name: getattr(torch, name) for name in ("exp", "exp2", "log2", "rsqrt")}
_FUNCTIONS["sum"] = lambda values, axis, keep_dims=False: values.sum(axis, keepdim=keep_dims)
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


def _multiply(left, right, sums, is_async, use_acc=True):
    left = left.load() if isinstance(left, Shared) else left
    return sums * use_acc + left.float() @ right.load().float()


def _where(condition, left, right):
    if isinstance(condition, torch.Tensor):
        return torch.where(condition, left, right)
    return left if condition else right


def _add(pointer, value, sem):
    before = pointer.buffer[pointer.place].item()
    pointer.buffer[pointer.place] += value
    return before


def _load(pointer, mask=None, other=0.0, cache_modifier=None):
    if not isinstance(pointer.place, torch.Tensor):
        return pointer.buffer[pointer.place].item()
    mask = torch.as_tensor(True if mask is None else mask)
    place, mask = torch.broadcast_tensors(pointer.place, mask)
    found = pointer.buffer[torch.where(mask, place, 0).as_subclass(torch.Tensor)]
    return values_of(torch.where(mask, found, torch.tensor(other, dtype=found.dtype)))


def _store(pointer, values, mask=True):
    if not isinstance(pointer.place, torch.Tensor):
        pointer.buffer[pointer.place] = values
        return
    values, mask = torch.as_tensor(values), torch.as_tensor(mask)
    place, mask, values = torch.broadcast_tensors(pointer.place, mask, values)
    mask = mask.as_subclass(torch.Tensor)
    kept = values.as_subclass(torch.Tensor)[mask].to(pointer.buffer.dtype)
    pointer.buffer[place.as_subclass(torch.Tensor)[mask]] = kept


def _either(of_tensors, of_numbers):
    """A function of tensors, numbers, or one of either."""

    def both(left, right):
        if isinstance(left, torch.Tensor) or isinstance(right, torch.Tensor):
            return of_tensors(torch.as_tensor(left), torch.as_tensor(right))
        return of_numbers(left, right)

    return both
