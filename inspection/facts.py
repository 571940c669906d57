"""What is inside an artifact, as one record: `tapeout inspect --json` prints it, the page shows it.

It is read from the manifest and the tapes, never from weights.
"""

from collections import Counter
from pathlib import PurePosixPath

import msgspec

from ..artifact import (
    Artifact,
    CacheGroup,
    Input,
    Kernel,
    Model,
    Slot,
)
from ..artifact.choices import KernelChoice, read_choices
from ..artifact.schema import MANIFEST, MANIFEST_DIGEST, Expression
from ..errors import ArtifactError
from ..runtime.weights import weights_bytes
from ..verification.certificate import Certificate, certificate_path
from ..verification.certificate import read as read_certificate
from .occupancy import occupancy_of, threads_of
from .region_text import RegionText
from .tape_facts import TapeFacts, tape_facts


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a GPU kernel's block takes; the last four are None for a GPU that is not known."""

    num_warps: int
    registers: int  # of a thread
    local_bytes: int  # of a thread: spilled registers, or arrays of a slow path
    shared_bytes: int
    num_maps: int  # buffers that it takes as tensor maps
    begins_early: bool
    num_threads: int | None
    blocks: int | None  # on a multiprocessor at once
    occupancy: float | None  # share of the warps that a multiprocessor could hold
    limit: str | None  # what there is no more of for another block


class KernelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel: what it computes, what a block takes, and how often each tape launches it."""

    name: str
    region: str
    anchor: str
    flops: Expression | None
    bytes: Expression | None
    operands: list[str]  # what its buffers are called in the region
    machine: MachineFacts | None  # None on a CPU
    launches: dict[str, int]  # by tape, where there are any
    choices: list[KernelChoice]  # of its configuration, for the sizes of step that share it


class CacheFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Layers that share a block table."""

    name: str
    layers: int
    page_size_tokens: int
    bytes_per_token: int  # of all layers
    window: int | None


class TargetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that runs on one kind of machine."""

    levels: list[str]
    batch_invariant: bool
    weights: int
    weights_bytes: int  # as `plan` counts them: in memory each begins on a border of 64 bytes
    cache_groups: list[CacheFacts]
    inputs: list[Input]
    slots: list[Slot]
    outputs: dict[str, int]
    launches: dict[str, int]  # by tape
    kernels: list[KernelFacts]
    tapes: list[TapeFacts]


class FolderFacts(msgspec.Struct, frozen=True):
    """The files of one kind."""

    name: str
    files: int
    bytes: int


class ArtifactFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact."""

    name: str
    digest: str  # of the manifest, which has those of all files
    model: Model
    tool: dict[str, str]
    files: int
    bytes: int
    folders: list[FolderFacts]
    targets: dict[str, TargetFacts]
    certificate: Certificate | None  # what is beside the artifact; it may be of another manifest


def facts_of(artifact: Artifact) -> ArtifactFacts:
    """The record of an opened artifact, and of the certificate beside it. Raises ArtifactError."""
    manifest, sizes = artifact.manifest, _sizes(artifact)
    return ArtifactFacts(
        name=artifact.path.name,
        digest=artifact.digest,
        model=manifest.model,
        tool=manifest.tool,
        files=len(sizes),
        bytes=sum(sizes.values()),
        folders=_folders(sizes),
        targets={name: _target(artifact, name) for name in manifest.targets},
        certificate=_certificate(artifact),
    )


def _certificate(artifact: Artifact) -> Certificate | None:
    try:
        return read_certificate(artifact.path)
    except msgspec.DecodeError as error:
        path, remedy = certificate_path(artifact.path), "run tapeout verify again, or remove it"
        raise ArtifactError(path, "JSON", str(error), "a certificate", remedy) from None


def _sizes(artifact: Artifact) -> dict[str, int]:
    """Of all files on the disk: the manifest does not list itself."""
    own = {name: (artifact.path / name).stat().st_size for name in (MANIFEST, MANIFEST_DIGEST)}
    return {name: file.bytes for name, file in artifact.manifest.files.items()} | own


def _folders(files: dict[str, int]) -> list[FolderFacts]:
    """By folder, the largest first; what lies at the top is one."""
    sizes, counts = Counter[str](), Counter[str]()
    for path, size in files.items():
        folder = str(PurePosixPath(path).parent)
        sizes[folder] += size
        counts[folder] += 1
    return [FolderFacts(name, counts[name], size) for name, size in sizes.most_common()]


def _target(artifact: Artifact, name: str) -> TargetFacts:
    target = artifact.manifest.targets[name]
    tapes = {entry: artifact.tape(name, entry) for entry in target.tapes}
    used = {
        entry: Counter(launch.kernel for launch in tape.launches) for entry, tape in tapes.items()
    }
    chosen: dict[str, list[KernelChoice]] = {}
    for choice in read_choices(artifact, name):
        for kernel in choice.kernels:
            chosen.setdefault(kernel, []).append(choice)
    return TargetFacts(
        levels=[*target.levels],
        batch_invariant=target.batch_invariant,
        weights=len(target.weights.tensors),
        weights_bytes=weights_bytes(target),
        cache_groups=[_cache_group(group) for group in target.cache_groups],
        inputs=target.inputs,
        slots=target.slots,
        outputs=target.outputs,
        launches={entry: len(tape.launches) for entry, tape in tapes.items()},
        kernels=[
            _kernel(kernel, name, used, chosen.get(kernel.name, [])) for kernel in target.kernels
        ],
        tapes=[
            tape_facts(entry, tape, name, target, artifact.manifest.model.dtype)
            for entry, tape in tapes.items()
        ],
    )


def _cache_group(group: CacheGroup) -> CacheFacts:
    return CacheFacts(
        name=group.name,
        layers=group.layers,
        page_size_tokens=group.page_size_tokens,
        bytes_per_token=group.layers * group.page_bytes_per_layer // group.page_size_tokens,
        window=group.window,
    )


def _kernel(
    kernel: Kernel, target: str, used: dict[str, Counter[str]], choices: list[KernelChoice]
) -> KernelFacts:
    counts = {entry: launched[kernel.name] for entry, launched in used.items()}
    return KernelFacts(
        name=kernel.name,
        region=kernel.region,
        anchor=kernel.anchor,
        flops=kernel.flops,
        bytes=kernel.bytes,
        operands=[RegionText(kernel.math).value(operand).name for operand in kernel.operands],
        machine=_machine(kernel, target),
        launches={entry: count for entry, count in counts.items() if count},
        choices=choices,
    )


def _machine(kernel: Kernel, target: str) -> MachineFacts | None:
    cubin = kernel.cubin
    if cubin is None:
        return None
    found = occupancy_of(target, cubin)
    return MachineFacts(
        num_warps=cubin.num_warps,
        registers=cubin.registers,
        local_bytes=cubin.local_bytes,
        shared_bytes=cubin.shared_bytes,
        num_maps=len(cubin.maps),
        begins_early=cubin.begins_early,
        num_threads=threads_of(target, cubin),
        blocks=found and found.blocks,
        occupancy=found and found.share,
        limit=found and found.limit,
    )
