"""Copies of an artifact with something changed and every hash put right: damage no digest shows."""

from pathlib import Path

import msgspec
from cpu import native_levels

from tapeout.artifact import Artifact, ArtifactWriter
from tapeout.codegen.cpp.library import build_libraries


def reseal(artifact, output, changed):
    """The artifact again, with other bytes for the files named in `changed`."""
    base = Artifact.open(artifact)
    with ArtifactWriter(output) as writer:
        for name in base.manifest.files:
            writer.add_bytes(name, changed.get(name, base.read(name)))
        return writer.commit(msgspec.structs.replace(base.manifest, files={}))


def with_kernel(artifact, output, kernel, edit):
    """A CPU kernel's source is edited, and the library that holds it built anew."""
    base, level = Artifact.open(artifact), native_levels()[0]
    source = {k.name: k.source for k in base.manifest.targets["cpu"].kernels}[kernel]
    prefix = "kernels/cpu/source/"
    sources = {
        name.removeprefix(prefix): base.read(name).decode()
        for name in base.manifest.files
        if name.startswith(prefix) and f"{prefix}tapeout_" in name
    }
    name = source.removeprefix(prefix)
    edited = edit(sources[name])
    assert edited != sources[name], f"{kernel} has nothing to edit"
    folder = Path(output).with_suffix(".built")
    folder.mkdir()
    built = build_libraries({**sources, name: edited}, [level], folder / "objects", folder)
    return reseal(artifact, output, {f"kernels/cpu/{level}.so": built[level].read_bytes()})


def with_weight(artifact, output, weight, target="cpu"):
    """One bit of a weight is another."""
    base = Artifact.open(artifact)
    tensor = base.manifest.targets[target].weights.tensors[weight]
    data = bytearray(base.read(tensor.file))
    data[tensor.offset + 1] ^= 0x40
    return reseal(artifact, output, {tensor.file: bytes(data)})


def with_launches(artifact, output, tape, edit, target="cpu"):
    """A tape with its launches as `edit` makes them of the list."""
    base = Artifact.open(artifact)
    old, name = base.tape(target, tape), base.manifest.targets[target].tapes[tape]
    new = msgspec.structs.replace(old, launches=edit([*old.launches]))
    return reseal(artifact, output, {name: msgspec.json.encode(new)})
