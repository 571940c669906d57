"""What an artifact says of the choices of its CPU kernels, for each bucket of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...artifact.choices import Candidate, KernelChoice, from_table
from ...artifact.tuning_table import Key
from ...ir.graph import Module
from ..tuned_kernels import Tuned
from ..tuning_key import key_of
from .choices import BUCKETS, Bucket, default_configuration
from .emit import EmittedRegion

TunedLevels = Mapping[str, Mapping[Key, Tuned]]
"""By instruction-set level, what a table has for it."""

_RULE = "small units for few rows, so that the last one is short; large ones for many, read from L2"


def choices_of(
    module: Module, regions: Sequence[EmittedRegion], tuned: TunedLevels
) -> list[KernelChoice]:
    """A record for each kernel, and for a product's one in each bucket."""
    return [choice for region in regions for choice in _of_region(module, region, tuned)]


def _of_region(module: Module, region: EmittedRegion, tuned: TunedLevels) -> Iterator[KernelChoice]:
    name = region.name.removeprefix("tapeout_").removesuffix("_from_packed")
    function, kernels = (
        module.functions[name],
        [region.name + one.suffix for one in region.launches],
    )
    if region.anchor != "linear":
        key = key_of(function, "any", True)
        yield KernelChoice(kernels=kernels, key=key, configuration={}, origin="the only one")
        return
    for bucket in BUCKETS:
        key = key_of(function, bucket.name, True)
        found = {level: known[key] for level, known in tuned.items() if key in known}
        for level, one in found.items():
            yield _tuned(kernels, key, bucket, level, one)
        if not found:
            yield _ruled(kernels, key, bucket)


def _tuned(kernels: list[str], key: Key, bucket: Bucket, level: str, found: Tuned) -> KernelChoice:
    reason = f"the rule takes it at other levels than {level}: {_RULE}"
    return KernelChoice(
        kernels=kernels,
        key=key,
        level=level,
        configuration=found.configuration,
        origin=from_table(found.device),
        time_s=found.time_s,
        candidates=[Candidate(configuration=default_configuration(bucket), reason=reason)],
    )


def _ruled(kernels: list[str], key: Key, bucket: Bucket) -> KernelChoice:
    configuration = default_configuration(bucket)
    return KernelChoice(
        kernels=kernels, key=key, configuration=configuration, origin=f"rule: {_RULE}"
    )
