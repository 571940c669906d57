"""Why an artifact is as it is: what each pass did in each function, and what runs there.

It is read from `passes.json`, `tuning.json` and the manifest, never from weights.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from ..artifact import Artifact, Kernel
from ..artifact.choices import Candidate, KernelChoice, read_choices
from ..artifact.passes import Change, Miss, Passes
from ..artifact.region_forms import form_of
from ..artifact.schema import Expression
from ..artifact.tuning_table import Configuration
from ..errors import InputError

_CALL = re.compile(r'^ *(?:%.*? = )?region\(.*function = "([^"]+)"', re.MULTILINE)


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass did in a function, and what a call of that no longer launches and moves."""

    name: str
    stage: str
    ops: dict[str, int]  # how many more nodes of an op there are
    launches_saved: int
    bytes_saved: Expression


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A place that a pass left: the predicate that failed, and what was found there."""

    name: str  # of the pass
    stage: str
    miss: Miss


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Kernels of a region for steps of some sizes, and how they were chosen."""

    kernels: list[str]
    steps: str | None  # None where a kernel is for steps of any size
    kind: str
    configuration: Configuration
    origin: str
    time_s: float | None  # of a launch, where it was measured
    candidates: list[Candidate]


class RegionWork(msgspec.Struct, frozen=True, kw_only=True):
    """A region that a function calls."""

    name: str
    anchor: str
    bytes: Expression
    is_fallback: bool  # no emitter knows it but the generic one of rows
    chosen: list[Chosen]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A function: a layer's, which several layers may share, or an entry."""

    function: str
    layers: list[int]
    did: list[Work]
    left: list[Left]
    idle: list[str]  # passes that found nothing in it
    regions: list[RegionWork]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact; its functions in the order in which they run."""

    name: str
    target: str
    num_layers: int
    traced_launches: int  # nodes of a step and its sampling that move data, before all passes
    launches: int  # after them
    sections: list[Section]

    def of_layer(self, layer: int) -> "Explanation":
        """What concerns one layer. Raises InputError when there is no such layer."""
        own = [section for section in self.sections if layer in section.layers]
        if not own:
            raise InputError(
                f"layer={layer} is not in {self.name}; give one from 0 to {self.num_layers - 1}"
            )
        return msgspec.structs.replace(self, sections=own)


def explain(artifact: Artifact) -> Explanation:
    """The record of an opened artifact. Raises ArtifactError."""
    record = artifact.passes()
    target, described = next(iter(artifact.manifest.targets.items()))
    regions = _Regions(record, described.kernels, read_choices(artifact, target))
    return Explanation(
        name=artifact.path.name,
        target=target,
        num_layers=len(record.layers),
        traced_launches=record.passes[0].launches,
        launches=record.passes[-1].launches,
        sections=[_section(name, record, regions) for name in record.functions],
    )


def _section(name: str, record: Passes, regions: "_Regions") -> Section:
    did = list(_work(record, name))
    left = dict.fromkeys(  # a pass that runs again may leave a place again
        Left(name=one.name, stage=one.stage, miss=miss)
        for one, called in zip(record.passes, record.names_of(name), strict=True)
        for miss in one.misses
        if miss.function == called
    )
    busy = {work.name for work in did} | {miss.name for miss in left}
    return Section(
        function=name,
        layers=[place for place, layer in enumerate(record.layers) if layer == name],
        did=did,
        left=[*left],
        idle=list(dict.fromkeys(p.name for p in record.passes[1:] if p.name not in busy)),
        regions=regions.of(name),
    )


def _work(record: Passes, function: str) -> Iterator[Work]:
    """Of the passes that changed a function that was there before."""
    before: Change | None = None
    for one, name in zip(record.passes, record.names_of(function), strict=True):
        after = one.changes.get(name)
        if before and after:
            yield Work(
                name=one.name,
                stage=one.stage,
                ops=after.ops,
                launches_saved=before.launches - after.launches,
                bytes_saved=less(before.bytes, after.bytes),
            )
        before = after or before


def less(a: Expression, b: Expression) -> Expression:
    """``a`` less ``b``."""
    both = {symbol: a.get(symbol, 0) - b.get(symbol, 0) for symbol in (a | b)}
    return {symbol: factor for symbol, factor in both.items() if factor}


class _Regions:
    """What runs the regions of an artifact."""

    def __init__(
        self, record: Passes, kernels: Sequence[Kernel], choices: Sequence[KernelChoice]
    ) -> None:
        self._fallbacks = set(record.fallbacks)
        self._last = {n: c for one in record.passes for n, c in one.changes.items()}
        self._kernels, self._choices = kernels, choices

    def of(self, function: str) -> list[RegionWork]:
        """Those that a function calls, each once, in order."""
        names = dict.fromkeys(_CALL.findall(self._last[function].text))
        return [self._region(name) for name in names]

    def _region(self, name: str) -> RegionWork:
        change = self._last[name]
        own = [kernel for kernel in self._kernels if kernel.region == name]
        own = own or [k for k in self._kernels if form_of(k.math) == form_of(change.text)]
        anchor = re.search(r'anchor = "(\w+)"', change.text)
        return RegionWork(
            name=name,
            anchor=anchor[1] if anchor else "",
            bytes=change.bytes,
            is_fallback=name in self._fallbacks,
            chosen=list(self._chosen([kernel.name for kernel in own])),
        )

    def _chosen(self, kernels: list[str]) -> Iterator[Chosen]:
        known = [choice for choice in self._choices if not set(kernels).isdisjoint(choice.kernels)]
        for choice in known:
            yield Chosen(
                kernels=choice.kernels,
                steps=choice.key.steps,
                kind=choice.kind,
                configuration=choice.configuration,
                origin=choice.origin,
                time_s=choice.time_s,
                candidates=choice.candidates,
            )
        told = {name for choice in known for name in choice.kernels}
        rest = [name for name in kernels if name not in told]
        if rest:
            yield Chosen(
                kernels=rest,
                steps=None,
                kind="",
                configuration={},
                origin="the only one",
                time_s=None,
                candidates=[],
            )
