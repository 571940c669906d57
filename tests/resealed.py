"""Copies of an artifact with something changed and every hash put right: damage no digest shows."""

from dataclasses import replace
from pathlib import Path

import msgspec
from cpu import native_levels

from tapeout import settings
from tapeout.artifact import Artifact, ArtifactWriter
from tapeout.codegen.cpp.library import build_libraries
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.program import compile_gpu_program
from tapeout.verification.subject import read_module


def reseal(artifact, output, changed, **facts):
    """The artifact again, with other bytes for the files named in `changed`, and other facts."""
    base = Artifact.open(artifact)
    with ArtifactWriter(output) as writer:
        for name in base.manifest.files:
            writer.add_bytes(name, changed.get(name, base.read(name)))
        return writer.commit(msgspec.structs.replace(base.manifest, files={}, **facts))


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
    objects = settings.CACHE.get() / "objects"  # of the kit, which takes the longest
    built = build_libraries({**sources, name: edited}, [level], objects, folder)
    return reseal(artifact, output, {f"kernels/cpu/{level}.so": built[level].read_bytes()})


def with_gpu_kernel(artifact, output, kernel, edit, target):
    """A GPU kernel's Triton is edited, and its machine code is built anew."""
    base, folder = Artifact.open(artifact), Path(output).with_suffix(".built")
    made, _ = compile_gpu_program(read_module(base), target).kernels[kernel]
    edited = replace(made, body=edit(made.body))
    assert edited != made, f"{kernel} has nothing to edit"
    built = compile_kernels({kernel: edited}, target, folder)[kernel]
    file = {k.name: k.cubin.file for k in base.manifest.targets[target].kernels}[kernel]
    return reseal(artifact, output, {file: built.cubin.read_bytes()})


def with_weight(artifact, output, weight, target="cpu"):
    """One bit of a weight is another."""
    base = Artifact.open(artifact)
    tensor = base.manifest.targets[target].weights.tensors[weight]
    data = bytearray(base.read(tensor.file))
    data[tensor.offset + 1] ^= 0x40
    return reseal(artifact, output, {tensor.file: bytes(data)})


def swapped(first, second):
    """An edit of launches: two of them have one another's buffers."""

    def edit(launches):
        a, b = launches[first], launches[second]
        launches[first] = msgspec.structs.replace(a, buffers=b.buffers)
        launches[second] = msgspec.structs.replace(b, buffers=a.buffers)
        return launches

    return edit


def shortened(place):
    """An edit of launches: one is told of a token less."""

    def edit(launches):
        scalars = [{**s, "": s.get("", 0) - 1} if "T" in s else s for s in launches[place].scalars]
        launches[place] = msgspec.structs.replace(launches[place], scalars=scalars)
        return launches

    return edit


def with_launches(artifact, output, tape, edit, target="cpu"):
    """A tape with its launches as `edit` makes them of the list."""
    base = Artifact.open(artifact)
    old, name = base.tape(target, tape), base.manifest.targets[target].tapes[tape]
    new = msgspec.structs.replace(old, launches=edit([*old.launches]))
    return reseal(artifact, output, {name: msgspec.json.encode(new)})
