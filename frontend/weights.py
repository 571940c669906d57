"""Runs weight programs: streams the tensors an artifact holds, one after the other.

In flight is one tensor at a time with the steps that make it: about three times its size. The
pages of checkpoint tensors are given back as soon as they have been used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ..artifact import ArtifactWriter, TensorSpec, Weights
from ..errors import CheckpointError
from ..ir.ops.dtypes import to_torch
from ..ir.printer import print_step
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
    """(name, tensor) of every member of every weight, in order; each is to be used up at once.

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


def write_weights(
    writer: ArtifactWriter,
    target: str,
    weights: Sequence[Weight],
    source: TensorSource,
    packers: Mapping[str, Transform] | None = None,
    allow_nonfinite: bool = False,
    progress: Callable[[int], None] = lambda num_bytes: None,
) -> Weights:
    """Streams all weights into an artifact's files; gives the manifest's table of them.

    `progress` is told the bytes written so far. Raises BuildError and what `stream_weights` does.
    """
    specs = [_spec(name, weight.type) for weight in weights for name, _ in weight.members()]
    files = writer.weights(target, specs)
    written_bytes = 0
    for name, tensor in stream_weights(weights, source, packers, allow_nonfinite):
        files.add(name, as_bytes(tensor))
        written_bytes += tensor.nbytes
        del tensor  # before the next one is made
        progress(written_bytes)
    return files.finish()


def as_bytes(tensor: torch.Tensor) -> memoryview:
    """The tensor's elements in row-major order; copied only where they are not so already."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


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


def _spec(name: str, type: TensorType) -> TensorSpec:
    return TensorSpec(name, type.dtype.value.upper(), tuple(map(int, type.shape)))


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
}
"""The steps that are the same for every target; those of `ir.weights.STEPS` that pack are not."""


def address(program: Step, type: TensorType, digest: Callable[[str], str]) -> str:
    """Names a tensor by what it is made of: its program and the digests of its sources."""
    parts = [str(type), print_step(program), *map(digest, program.sources())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


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
        "the checkpoint is damaged; allow_nonfinite takes it as it is",
    )


def _check_type(name: str, tensor: torch.Tensor, type: TensorType, program: Step) -> None:
    wanted = tuple(map(int, type.shape))
    if tuple(tensor.shape) != wanted:
        made_of = ", ".join(program.sources())
        raise CheckpointError(
            made_of, f"shape of {name}", list(tensor.shape), f"{list(wanted)}, as config.json says"
        )
    assert tensor.dtype == to_torch(type.dtype), f"{name} is {tensor.dtype}, wanted {type}"
