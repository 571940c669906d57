"""Runs weight programs: streams the tensors an artifact holds, one after the other.

In flight is one tensor at a time with the steps that make it: about three times its size. The
pages of checkpoint tensors are given back as soon as they have been used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from ..errors import CheckpointError
from ..ir.ops.dtypes import to_torch
from ..ir.types import TensorType
from ..ir.weights import Step, Weight
from .checkpoint import TensorSource

Transform = Callable[..., torch.Tensor]
"""A step: takes the tensors of its inputs, then its arguments."""


def stream_weights(
    weights: Iterable[Weight],
    source: TensorSource,
    packers: Mapping[str, Transform] | None = None,
    allow_nonfinite: bool = False,
) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of every member of every weight, in order.

    Each is to be used up, and let go of, before the next is asked for.

    `packers` are the steps of a target's own. Raises CheckpointError for a tensor of another shape
    than the program expects, and for NaN and infinity unless `allow_nonfinite`.
    """
    for weight in weights:
        runner = Runner(source, to_torch(weight.type.dtype), packers or {}, allow_nonfinite)
        for name, program in weight.members():
            tensor = runner.run(program)
            _check_type(name, tensor, weight.type, program)
            yield name, tensor
            del tensor
            for used in program.sources():
                source.release(used)


class Runner:
    """Runs programs; a checkpoint's floats are rounded to `dtype` as they are read."""

    def __init__(
        self,
        source: TensorSource,
        dtype: torch.dtype,
        packers: Mapping[str, Transform],
        allow_nonfinite: bool,
    ) -> None:
        self._source = source
        self._dtype = dtype
        self._transforms = {**TRANSFORMS, **packers}
        self._allow_nonfinite = allow_nonfinite

    def run(self, step: Step) -> torch.Tensor:
        """The tensor that a program gives. Raises CheckpointError."""
        if step.op == "checkpoint":
            return self._read(str(step.arguments[0]))
        inputs = [self.run(inner) for inner in step.inputs]
        transform = self._transforms[step.op]
        try:
            return transform(*inputs, *step.arguments)
        except (RuntimeError, IndexError) as error:  # torch's own words for shapes that do not fit
            shapes = ", ".join(str(list(tensor.shape)) for tensor in inputs)
            raise CheckpointError(
                ", ".join(step.sources()), step.op, shapes, f"other shapes ({error})"
            ) from None

    def _read(self, name: str) -> torch.Tensor:
        tensor = self._source.read(name)
        if not self._allow_nonfinite:
            _check_finite(name, tensor)
        if not tensor.is_floating_point() or tensor.dtype == self._dtype:
            return tensor
        rounded = tensor.to(self._dtype)
        del tensor
        self._source.release(name)
        return rounded


def _constant(dtype: Any, shape: Any, text: str) -> torch.Tensor:
    data = bytearray.fromhex(text)
    if not data:
        return torch.empty(shape, dtype=to_torch(dtype))
    return torch.frombuffer(data, dtype=to_torch(dtype)).view(shape)


def _join(join: Callable[[tuple[torch.Tensor, ...], int], torch.Tensor]) -> Transform:
    return lambda *values: join(values[:-1], values[-1])


def _slice(x: torch.Tensor, axis: int, start: int, stop: int, step: int) -> torch.Tensor:
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


TRANSFORMS: dict[str, Transform] = {
    "constant": _constant,
    "cast": lambda x, dtype: x.to(to_torch(dtype)),
    "transpose": lambda x, permutation: x.permute(permutation),
    "reshape": lambda x, shape: x.reshape(shape),
    "slice": _slice,
    "concat": _join(torch.cat),
    "stack": _join(torch.stack),
    "add": lambda x, number: x + number,
    "multiply": lambda x, number: x * number,
    "multiply_columns": lambda x, y, number: (x.float() * (number + y.float())).to(x.dtype),
}
"""The steps that are the same for every target; those of `ir.weights.STEPS` that pack are not."""


def _check_finite(name: str, tensor: torch.Tensor) -> None:
    if not tensor.is_floating_point() or not tensor.numel() or tensor.dtype.itemsize == 1:
        return  # eight-bit floats have no reduction; their scales are checked
    if all(bool(bound.isfinite()) for bound in torch.aminmax(tensor)):
        return
    flat = tensor.reshape(-1)
    position = int(flat.isfinite().logical_not().nonzero()[0])
    raise CheckpointError(
        name,
        f"value {position}",
        float(flat[position]),
        "a finite number",
        "the checkpoint is damaged: fetch it again",
    )


def _check_type(name: str, tensor: torch.Tensor, type: TensorType, program: Step) -> None:
    wanted = tuple(map(int, type.shape))
    if tuple(tensor.shape) != wanted:
        made_of = ", ".join(program.sources())
        raise CheckpointError(
            made_of, f"shape of {name}", list(tensor.shape), f"{list(wanted)}, as config.json says"
        )
    assert tensor.dtype == to_torch(type.dtype), f"{name} is {tensor.dtype}, wanted {type}"
