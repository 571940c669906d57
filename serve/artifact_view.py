"""What an artifact runs, as a reader wants to see it: its kernels in the order of a step.

It is read from the manifest and from the text of `graph.ir`, never from weights.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..artifact import Artifact, Expression, Kernel
from ..artifact.region_forms import form_of
from ..runtime.weights import weights_bytes

_GRAPH = "graph.ir"
_FUNCTION = re.compile(r"^(entry|func) @(\w+)\(.*?^}", re.MULTILINE | re.DOTALL)
_STATEMENT = re.compile(
    r"= (?:region\(.*function = \"(?P<region>[^\"]+)\""
    r"|repeat\(.*count = (?P<count>\d+).*pattern = \[(?P<pattern>[^\]]*)\])"
)


class KernelView(msgspec.Struct, frozen=True):
    """One compiled form of a region, with what it costs as a formula of the step's sizes."""

    name: str
    flops: str | None
    bytes: str | None


class RegionView(msgspec.Struct, frozen=True):
    """What is computed in one go."""

    name: str
    anchor: str
    math: str  # as IR text
    kernels: list[KernelView]


class SectionView(msgspec.Struct, frozen=True):
    """Regions that run one after the other, so many times."""

    name: str
    count: int
    regions: list[RegionView]


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled model."""

    name: str
    architecture: str
    target: str
    max_model_len: int
    weights_bytes: int  # in memory
    sections: list[SectionView]


def view_artifact(folder: Path, target: str, name: str, max_model_len: int) -> ModelView:
    """Reads an artifact's description. Raises ArtifactError."""
    artifact = Artifact.open(folder, verify_weights=False)
    own = artifact.manifest.targets[target]
    return ModelView(
        name=name,
        architecture=artifact.manifest.model.architecture,
        target=target,
        max_model_len=max_model_len,
        weights_bytes=weights_bytes(own),
        sections=list_sections(artifact.read(_GRAPH).decode(), own.kernels),
    )


def list_sections(graph: str, kernels: list[Kernel]) -> list[SectionView]:
    """The sections of all entry functions, in the order in which they run."""
    functions = {m[2]: m[0] for m in _FUNCTION.finditer(graph)}
    entries = [m[2] for m in _FUNCTION.finditer(graph) if m[1] == "entry"]
    compiled: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        for function in _FUNCTION.finditer(kernel.math):
            for key in (function[2], form_of(function[0])):
                compiled[key].append(kernel)
    return [
        SectionView(name, count, [_region(region, functions, compiled) for region in regions])
        for entry in entries
        for name, count, regions in _cut(entry, functions)
    ]


def _cut(entry: str, functions: dict[str, str]) -> Iterator[tuple[str, int, list[str]]]:
    """An entry's regions between its repeats, and those of a repeat by themselves."""
    regions: list[str] = []
    place = ": before the layers"
    for found in _STATEMENT.finditer(functions[entry]):
        if found["region"] is not None:
            regions.append(found["region"])
            continue
        if regions:
            yield entry + place, 1, regions
        for layer in re.findall(r'"([^"]+)"', found["pattern"]):
            own = [m["region"] for m in _STATEMENT.finditer(functions[layer]) if m["region"]]
            yield layer, int(found["count"]), own
        regions, place = [], ": after the layers"
    if regions:
        yield entry + place if "repeat(" in functions[entry] else entry, 1, regions


def _region(name: str, functions: dict[str, str], compiled: dict[str, list[Kernel]]) -> RegionView:
    text = functions.get(name, "")
    kernels = compiled.get(name) or compiled.get(form_of(text), [])
    views = [KernelView(k.name, _formula(k.flops), _formula(k.bytes)) for k in kernels]
    anchor = kernels[0].anchor if kernels else "none"
    return RegionView(name, anchor, text, views)


def _formula(expression: Expression | None) -> str | None:
    """As `64 + 4 R`."""
    if expression is None:
        return None
    terms = [f"{factor:,} {symbols}".strip() for symbols, factor in expression.items()]
    return " + ".join(terms) or "0"
