"""What must hold within a manifest and its tapes beyond the types, for writer and reader."""

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import ArtifactError
from .schema import (
    COST_SYMBOLS,
    INPUT_SYMBOLS,
    LEAST_POSITIONS,
    SCHEMA_VERSION,
    SYMBOLS,
    CacheBuffer,
    InputBuffer,
    Manifest,
    Model,
    SlotBuffer,
    Tape,
    Target,
    WeightBuffer,
)
from .weights import ALIGNMENT

REBUILD = "build the artifact again, or copy it again from where it is whole"

_CUDA = re.compile(r"cuda:sm_[0-9]{2,3}")
_DTYPES = ("bf16", "f16", "f32")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


def check_path(path: str) -> None:
    """Refuses a path that is not plain and inside the artifact. Raises ArtifactError."""
    if not _PATH.fullmatch(path) or len(path) > 255:
        raise ArtifactError(path, "path", path, "plain names of letters, digits, _ . + - under /")


def check_manifest(manifest: Manifest, path: Path) -> None:
    """Refuses a manifest that contradicts itself. Raises ArtifactError."""
    wrong = _wrong_of(manifest)
    for field, found, wanted in wrong:
        raise ArtifactError(path / "manifest.json", field, found, wanted, REBUILD)


def check_tape(tape: Tape, target: Target, path: Path) -> None:
    """Refuses a tape that names what its target lacks. Raises ArtifactError."""
    kernels = {kernel.name: kernel for kernel in target.kernels}
    inputs = {entry.name for entry in target.inputs}
    layers = {group.name: group.layers for group in target.cache_groups}

    def exists(buffer: object) -> bool:
        match buffer:
            case SlotBuffer(slot=slot):
                return slot < len(target.slots)
            case WeightBuffer(name=name):
                return name in target.weights.tensors
            case InputBuffer(name=name):
                return name in inputs
            case CacheBuffer(group=group, layer=layer):
                return layer < layers.get(group, 0)
        return False

    for index, launch in enumerate(tape.launches):
        field = f"launches[{index}]"
        if launch.kernel not in kernels:
            raise ArtifactError(path, f"{field}.kernel", launch.kernel, "a kernel of the manifest")
        operands = kernels[launch.kernel].operands or launch.buffers
        if len(launch.buffers) != len(operands):
            wanted = f"{len(operands)}, as {launch.kernel} has operands"
            raise ArtifactError(path, f"{field}.buffers", len(launch.buffers), wanted)
        for buffer in launch.buffers:
            if not exists(buffer):
                raise ArtifactError(path, f"{field}.buffers", buffer, "a buffer of the manifest")
        for scalar in (*launch.scalars, *(term.extent for term in launch.grid)):
            if not set(scalar) <= set(SYMBOLS):
                raise ArtifactError(path, f"{field}.scalars", scalar, f"symbols of {SYMBOLS}")
        wanted = "three terms" if kernels[launch.kernel].cubin else "none or three terms"
        if len(launch.grid) != 3 and (launch.grid or kernels[launch.kernel].cubin):
            raise ArtifactError(path, f"{field}.grid", len(launch.grid), wanted)


def _wrong_of(manifest: Manifest) -> Iterator[tuple[str, object, object]]:
    if manifest.schema != SCHEMA_VERSION:
        yield "schema", manifest.schema, SCHEMA_VERSION
    if not manifest.targets:
        yield "targets", {}, "one or more"
    yield from _wrong_of_model(manifest.model)
    for name, target in manifest.targets.items():
        if name.startswith("cuda:") and not _CUDA.fullmatch(name):
            yield "targets", name, "cuda:sm_ and the version of a GPU"
        yield from _wrong_of_target(target, manifest, f"targets.{name}")
    yield from _wrong_of_ends(manifest.model)


def _wrong_of_model(model: Model) -> Iterator[tuple[str, object, object]]:
    if model.dtype not in _DTYPES:
        yield "model.dtype", model.dtype, f"one of {', '.join(_DTYPES)}"
    if model.max_position_embeddings < LEAST_POSITIONS:
        yield (
            "model.max_position_embeddings",
            model.max_position_embeddings,
            f"at least {LEAST_POSITIONS}",
        )


def _wrong_of_ends(model: Model) -> Iterator[tuple[str, object, object]]:
    for token_id in model.eos_token_ids:
        if not 0 <= token_id < model.vocab_size:
            yield "model.eos_token_ids", token_id, f"ids from 0 to {model.vocab_size - 1}"


def _wrong_of_target(
    target: Target, manifest: Manifest, at: str
) -> Iterator[tuple[str, object, object]]:
    cubins = [kernel.cubin for kernel in target.kernels if kernel.cubin]
    code = [path for cubin in cubins for path in (cubin.file, cubin.assembly)]
    player = [target.player] if target.player else []
    for path in (*target.levels.values(), *player, *target.tapes.values(), *code):
        if path not in manifest.files:
            yield at, path, "a file that is listed"
    for name, slot in target.outputs.items():
        if slot >= len(target.slots):
            yield f"{at}.outputs.{name}", slot, f"a slot below {len(target.slots)}"
    yield from _wrong_of_vocabulary(target, manifest.model.vocab_size, at)
    sizes = [expression for slot in target.slots for expression in slot.bytes]
    sizes += [term.extent for kernel in target.kernels for term in kernel.tiles or ()]
    costs = [e for k in target.kernels for e in (k.flops, k.bytes, k.multiplied) if e is not None]
    for expressions, symbols in ((sizes, SYMBOLS), (costs, COST_SYMBOLS)):
        for expression in expressions:
            if not set(expression) <= set(symbols):
                yield at, expression, f"an expression of the symbols {symbols}"
    for entry in target.inputs:
        if not set(entry.bytes) <= set(INPUT_SYMBOLS):
            yield f"{at}.inputs.{entry.name}", entry.bytes, f"symbols of {INPUT_SYMBOLS}"
    yield from _wrong_of_weights(target, manifest, f"{at}.weights")


def _wrong_of_vocabulary(
    target: Target, vocab_size: int, at: str
) -> Iterator[tuple[str, object, object]]:
    """A row of the target's logits has an f32 for each token that the model knows."""
    if "logits" in target.outputs:
        slot = target.slots[target.outputs["logits"]]
        row_bytes = [size["R"] for size in slot.bytes if size.keys() == {"R"}]
        if 4 * vocab_size not in row_bytes:
            known = " or ".join(str(num_bytes // 4) for num_bytes in row_bytes) or "another"
            yield "model.vocab_size", vocab_size, f"{known}, as {at}.outputs.logits has in a row"


def _wrong_of_weights(
    target: Target, manifest: Manifest, at: str
) -> Iterator[tuple[str, object, object]]:
    for name, tensor in target.weights.tensors.items():
        file = manifest.files.get(tensor.file)
        if file is None:
            yield f"{at}.{name}.file", tensor.file, "a file that is listed"
        elif tensor.offset % ALIGNMENT or tensor.offset + tensor.bytes > file.bytes:
            end = f"{tensor.offset}+{tensor.bytes}"
            yield f"{at}.{name}", end, f"multiples of {ALIGNMENT}, to {file.bytes} at most"
    total_bytes = sum(tensor.bytes for tensor in target.weights.tensors.values())
    if total_bytes != target.weights.total_bytes:
        yield f"{at}.total_bytes", target.weights.total_bytes, total_bytes
