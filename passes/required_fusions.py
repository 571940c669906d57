"""Refuses a module that lost a fusion which was asked for, by the name of its pass."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import getmodule

from ..errors import InputError, UnsupportedModelError
from ..ir.graph import Module
from .base import Miss, Pass, Report, Stage
from .fusions import EXPLAINS
from .layer_weights import layer_names
from .pipeline import GPU_STAGES, STAGES
from .run import name_of

_MAX_SHOWN = 3


def fusion_names(stages: Sequence[Stage]) -> list[str]:
    """Those that can be asked for where these stages run, in their order."""
    return [name_of(one) for one in _fusions(stages)]


def _fusions(stages: Sequence[Stage]) -> list[Pass]:
    passes = dict.fromkeys(one for stage in stages for one in stage.passes)
    return [one for one in passes if one in EXPLAINS]


def check_names(names: Sequence[str], stages: Sequence[Stage]) -> None:
    """Raises InputError for what no pass of these stages is called."""
    known = fusion_names(stages)
    for name in names:
        if name not in known:
            is_elsewhere = name in map(name_of, EXPLAINS)
            why = "is of other targets" if is_elsewhere else "is not known"
            raise InputError(f"fusion {name!r} {why}; for this target use {', '.join(known)}")


def check_fusions(reports: Sequence[Report], names: Sequence[str]) -> None:
    """Raises UnsupportedModelError that names where a fusion is lost, and by which predicate."""
    for name in names:
        own = [report for report in reports if report.name == name]
        lost = _all_lost(own)
        if lost:
            more = [f"and {len(lost) - _MAX_SHOWN} more"] * (len(lost) > _MAX_SHOWN)
            shown = "; ".join(lost[:_MAX_SHOWN] + more)
            raise UnsupportedModelError(
                f"fusion {name} is lost {shown}", "change the model, or do not require it"
            )
        if not any(report.rewrites for report in own):
            raise UnsupportedModelError(
                f"fusion {name} finds nothing in this model that it could fuse"
                f"{_before(name, reports)}",
                "do not require it",
            )


def _all_lost(reports: Sequence[Report]) -> list[str]:
    """Each place once; a pass that runs again leaves it again."""
    found = (_lost(miss, report.module) for report in reports for miss in report.misses)
    return list(dict.fromkeys(found))


def _before(name: str, reports: Sequence[Report]) -> str:
    """What passes before it left, which may be why there is nothing for it."""
    first = next(place for place, report in enumerate(reports) if report.name == name)
    lost = {report.name: _all_lost([report]) for report in reversed(reports[:first])}
    said = [f"{other} is lost {places[0]}" for other, places in lost.items() if places][::-1]
    return f"; before it {'; '.join(said)}" if said else ""


def _lost(miss: Miss, module: Module) -> str:
    places = [str(i) for i, name in enumerate(layer_names(module)) if name == miss.function]
    more = f" and {len(places) - 1} more like it" if len(places) > 1 else ""
    origin = f" of {miss.origin}" if miss.origin else ""
    where = f"in layer {places[0]}{more}" if places else f"in @{miss.function}"
    return f"{where} at %{miss.value}{origin}: {miss.obstacle}"


def render_table() -> str:
    """The fusions as a Markdown table."""
    everywhere = fusion_names(STAGES)
    rows = ["| name | what it does | targets |", "|---|---|---|"]
    for one in _fusions(GPU_STAGES):
        said = (getattr(getmodule(one), "__doc__", "")).split("\n\n")[0].replace("\n", " ")
        targets = "all" if name_of(one) in everywhere else "GPUs"
        rows.append(f"| `{name_of(one)}` | {said} | {targets} |")
    return "\n".join(rows) + "\n"
