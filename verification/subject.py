"""An opened artifact with its module: what runs it, and where everything is that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..artifact import (
    Artifact,
    Buffer,
    CacheBuffer,
    InputBuffer,
    Kernel,
    SlotBuffer,
    Tape,
    WeightBuffer,
)
from ..artifact.schema import MANIFEST
from ..codegen.packing import pack_weights, unpack_rows16
from ..codegen.pages import CPU, page_layouts
from ..errors import ArtifactError
from ..ir.graph import Module, Value
from ..ir.parser import parse_module
from ..ir.types import DType
from ..ir.verify import VerifyError, verify
from ..ir.weights import Weight
from ..runtime.cuda.executor import CudaExecutor
from ..runtime.frame import Frame
from ..runtime.layout import slot_bytes
from ..runtime.load import LoadedModel
from .cache import CachePages
from .tensors import tensor_at

_GRAPH = "graph.ir"
_FACTS = ("architecture", "vocab_size", "max_position_embeddings")


class Subject:
    """What is verified. Weights and pages are read where kernels have them."""

    def __init__(self, artifact: Artifact, loaded: LoadedModel) -> None:
        name = loaded.target_name
        self.target_name, self.target = name, artifact.manifest.targets[name]
        self.executor, self.plan = loaded.executor, loaded.plan
        self.vocab_size = artifact.manifest.model.vocab_size
        self.module = read_module(artifact)
        self.tapes: Mapping[str, Tape] = {t: artifact.tape(name, t) for t in self.target.tapes}
        self.kernels: Mapping[str, Kernel] = {k.name: k for k in self.target.kernels}
        self.weights = StoredWeights(self)

    @property
    def on_gpu(self) -> bool:
        """Whether kernels run on a GPU; references are then computed there, too."""
        return isinstance(self.executor, CudaExecutor)

    def reference(self) -> AbstractContextManager[Any]:
        """Within it torch makes tensors where this model's are."""
        return torch.device("cuda") if self.on_gpu else nullcontext()

    def check_room(self, value: Value, buffer: Buffer, symbols: Mapping[str, int]) -> None:
        """Raises ArtifactError for a slot that a value does not fit in."""
        if isinstance(buffer, SlotBuffer):
            room = slot_bytes(self.target.slots[buffer.slot], {**self.plan.sizes, **symbols})
            taken = value.type.num_bytes().evaluate(symbols)
            if taken > room:
                field = f"targets.{self.target_name}.slots[{buffer.slot}].bytes"
                at = " ".join(f"{name}={symbols[name]}" for name in "TSR")
                raise ArtifactError(
                    MANIFEST, field, f"{room} at {at}", f"{taken} at least, for %{value.name}"
                )

    def settle(self) -> None:
        """Waits for torch, which may still read or write what launches and frames are about to."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def tensor(self, buffer: Any, dtype: DType, shape: tuple[int, ...]) -> torch.Tensor:
        """A buffer of launches; no copy."""
        return tensor_at(self.executor.place(buffer), dtype, shape)

    def symbols(self, frame: Frame) -> dict[str, int]:
        """The sizes of a step, and those of the load."""
        sizes = self.plan.sizes
        dims = dict(zip("TSRP", self.executor.dims_of(frame), strict=True))
        return dims | {"N": sizes["N"], "L": sizes["L"]}

    def arguments(self, entry: str, frame: Frame) -> list[Any]:
        """What the entry function is called with: copies of what was sent, or made before."""
        symbols = self.symbols(frame)
        return [self._argument(param, symbols) for param in self.module.functions[entry].params]

    def _argument(self, param: Value, symbols: Mapping[str, int]) -> Any:
        if param.dtype is DType.STATE:
            return self.caches[param.name.removeprefix("cache_")]
        buffer = self.argument_buffer(param)
        return self.tensor(buffer, param.dtype, param.type.concrete(symbols)).clone()

    def argument_buffer(self, param: Value) -> Buffer:
        """Where kernels have a parameter of an entry function that is no cache."""
        slot = self.target.outputs.get(param.name)
        return InputBuffer(param.name) if slot is None else SlotBuffer(slot)

    @cached_property
    def caches(self) -> dict[str, CachePages]:
        """The pages of each group."""
        layouts = page_layouts(self.module.attrs["cache_groups"], self.target_name)
        groups = zip(self.target.cache_groups, self.plan.num_pages, strict=True)

        def pages(name: str, num_pages: int) -> CachePages:
            layout = layouts[name]
            shape = num_pages, layout.num_elements
            return CachePages(
                layout, lambda layer: self.tensor(CacheBuffer(name, layer), layout.dtype, shape)
            )

        return {group.name: pages(group.name, count) for group, count in groups}

    def fill_caches(self, seed: int = 0) -> None:
        """Gives every page but the null page keys and values, as if sequences had left them."""
        with self.reference():
            torch.manual_seed(seed)
            for group in self.target.cache_groups:
                for layer in range(group.layers):
                    self.caches[group.name].layer(layer)[1:].normal_()

    def num_launches(self, tape: str) -> int:
        """Of a tape."""
        return len(self.tapes[tape].launches)


class StoredWeights(Mapping[str, torch.Tensor]):
    """The weights of a module by member, as its functions take them, made as they are asked for."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        stored, packed = pack_weights(subject.module)
        kept = {w.name: w for w in subject.module.weights.values()}
        is_packed = packed if subject.target_name == CPU else frozenset()
        self._stored: dict[str, tuple[Weight, Weight]] = {}
        for weight in stored:
            own = kept[weight.name]
            pair = (own, weight if weight.name in is_packed else own)
            self._stored |= {name: pair for name, _ in own.members()}

    def __getitem__(self, name: str) -> torch.Tensor:
        own, stored = self._stored[name]
        shape = tuple(map(int, stored.type.shape))
        found = self._subject.tensor(WeightBuffer(name), stored.type.dtype, shape)
        return found if own is stored else unpack_rows16(found, tuple(map(int, own.type.shape)))

    def __iter__(self) -> Any:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def read_module(artifact: Artifact) -> Module:
    """The module of regions that the artifact was built from. Raises ArtifactError, also where the
    manifest says something else of the model."""
    try:
        module = verify(parse_module(artifact.read(_GRAPH).decode()))
    except (ValueError, KeyError, VerifyError) as error:  # an op is looked up by its name
        found, wanted = str(error).splitlines()[0], "a module of this version's IR"
        raise ArtifactError(Path(artifact.path) / _GRAPH, "text", found, wanted) from None
    for name in _FACTS:
        told, known = getattr(artifact.manifest.model, name), module.attrs.get(name)
        if known is not None and told != known:
            raise ArtifactError(MANIFEST, f"model.{name}", told, f"{known}, as {_GRAPH} has it")
    return module
