"""Triton's own interpreter, mended and made quicker; to be imported where it interprets."""

import inspect
import math
from functools import cache

import numpy as np
import triton.language as tl
from triton.language import core, semantic
from triton.runtime import interpreter


@cache
def mend():
    """Sets right what Triton 3.6 does wrong, and what it does slowly for every single value."""
    _mend_products_of_bf16()
    _mend_casts_of_bf16()
    _mend_scalars_in_a_range()
    _quicken_types()
    _quicken_launches()
    _drop_overflow()


def _mend_products_of_bf16():
    dot = interpreter.InterpreterBuilder.create_dot

    def widened(handle):
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return interpreter.TensorHandle(_widened(handle.data), tl.float32)

    def create_dot(self, a, b, *rest):
        return dot(self, widened(a), widened(b), *rest)

    interpreter.InterpreterBuilder.create_dot = create_dot


def _mend_casts_of_bf16():
    """It cuts where machines round to the nearest, and takes long to."""
    cast = interpreter.InterpreterBuilder.cast_impl

    def cast_impl(self, source, to):
        types = source.dtype.scalar, to.scalar
        if types == (tl.bfloat16, tl.float32):
            return interpreter.TensorHandle(_widened(source.data), tl.float32)
        if types == (tl.float32, tl.bfloat16):
            return interpreter.TensorHandle(_rounded(source.data), tl.bfloat16)
        return cast(self, source, to)

    interpreter.InterpreterBuilder.cast_impl = cast_impl


def _widened(data):
    """Floats of bf16, which are held as whole numbers."""
    return (data.astype(np.uint32) << 16).view(np.float32)


def _rounded(data):
    """Floats as bf16, ties to even; no number stays none."""
    bits = np.ascontiguousarray(data, np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(data), 0x7FC0, nearest).astype(np.uint16).reshape(np.shape(data))


def _mend_scalars_in_a_range():
    """With numpy 2.4 it takes no array of one number for an index."""
    patch = interpreter._patch_lang_tensor

    def patch_tensor(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch_tensor


def _drop_overflow():
    """It computes whether a sum overflows, and looks at the answer where one debugs alone."""
    semantic.TritonSemantic.binary_op_sanitize_overflow_impl = lambda *_: None


def _quicken_types():
    """A type and a shape are made once for all values that have them."""
    shape_of = cache(lambda sizes: core.tuple([core.constexpr(size) for size in sizes]))
    numpy_type, numpy_type_of = interpreter._get_np_dtype, cache(interpreter._get_np_dtype)

    def make_tensor(self, handle, type):
        self.handle, self.type, self.dtype = handle, type, type.scalar
        sizes = type.shape if type.is_block() else ()
        self.numel, self.shape = core.constexpr(math.prod(sizes)), shape_of(sizes)

    def unwrapped(shape):
        return [size.value if isinstance(size, core.constexpr) else size for size in shape]

    def quick_numpy_type(dtype):
        scalar = dtype.scalar
        return (numpy_type if scalar.is_ptr() else numpy_type_of)(scalar)

    def equal(shape, other):
        return core.constexpr(unwrapped(shape) == unwrapped(other))

    core.tensor.__init__ = make_tensor
    core._unwrap_shape = unwrapped
    core.tuple.__eq__ = equal
    interpreter._get_np_dtype = quick_numpy_type


def _quicken_launches():
    """Which of a module's members it replaces for each launch is found once."""
    names_of = cache(
        lambda module: [name for name, one in inspect.getmembers(module) if core.is_builtin(one)]
    )

    def patch_builtin(module, builder, scope):
        for name in names_of(module):
            member = getattr(module, name)
            if core.is_builtin(member):  # not yet replaced
                interpreter._patch_attr(module, name, member, builder, scope)

    interpreter._patch_builtin = patch_builtin
