"""Weight programs of a model's parameters, by way of transformers' own conversion mapping.

A checkpoint's names and layout may differ from the module's (experts stored one by one, prefixes
added or missing). The mapping's operations are recorded as program steps, never run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)

from ..errors import UnsupportedModelError
from ..ir.weights import Step, checkpoint

Collected = dict[str, list[Step]]


def weight_programs(model: Any, names: Collection[str] | None) -> dict[str, Step]:
    """The program of each parameter and persistent buffer of ``model``, by its name there.

    ``names`` are the checkpoint's tensors; None stands for a checkpoint in the module's own names.
    A parameter without a source is left out.
    """
    state: dict[str, Any] = dict(model.state_dict())
    if names is None:
        return {name: checkpoint(name) for name in state}
    transforms = get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    programs: dict[str, Step] = {}
    collected: dict[str, tuple[WeightConverter, Collected]] = {}
    for key in sorted(names, key=dot_natural_key):
        target, pattern = rename_source_key(
            key, renamings, converters, model.base_model_prefix, state
        )
        if pattern is None:
            programs[target] = checkpoint(key)
        else:
            converter = next(c for c in converters if pattern in c.source_patterns)
            _, sources = collected.setdefault(target, (converter, {}))
            sources.setdefault(pattern, []).append(checkpoint(key))
    for target, (converter, sources) in collected.items():
        programs[target] = _converted(target, converter, sources)
    return {name: program for name, program in programs.items() if name in state}


def _converted(target: str, converter: Any, sources: Collected) -> Step:
    """The operations of one converter on its collected tensors, as steps."""
    values = [sources[pattern] for pattern in converter.source_patterns if pattern in sources]
    for operation in converter.operations:
        match type(operation).__name__:
            case "MergeModulelist":
                values = [[_join("stack", operation.dim, steps)] for steps in values]
            case "Concatenate":
                values = [[_join("concat", operation.dim, (s for steps in values for s in steps))]]
            case name:
                raise UnsupportedModelError(f"{target}: the weight conversion {name} is not known")
    if len(values) != 1 or len(values[0]) != 1 or len(converter.target_patterns) != 1:
        raise UnsupportedModelError(f"{target}: the weight conversion {converter} is not known")
    return values[0][0]


def _join(op: str, axis: int, steps: Iterable[Step]) -> Step:
    return Step(op, tuple(steps), (axis,))
