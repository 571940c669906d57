"""The configurations of CPU kernels: what may be chosen for steps of some rows, and how it is told.

Work is cut into units and tiles in many ways that all add the same numbers in the same order, so no
choice changes a bit of a result. A kernel holds a choice for each bucket of rows, and for each
instruction-set level that was tuned; it picks one by the rows of its launch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from ...artifact.tuning_table import Configuration, Key
from ...errors import BuildError
from ...ir.graph import Function
from ..tuning_key import key_of

LEVEL_NAMES = {
    "x86-64-v4-bf16": "LEVEL_V4_BF16",
    "x86-64-v4": "LEVEL_V4",
    "x86-64-v3": "LEVEL_V3",
}
"""By level, the kit's name for it."""

Asked = Mapping[str, Mapping[Key, Configuration]]
"""By level, what kernels of some keys shall have in the place of our own choice."""


@dataclass(frozen=True)
class Bucket:
    """Launches of up to ``max_rows`` rows and of more than the bucket before."""

    name: str
    max_rows: int | None


BUCKETS = tuple(Bucket(f"rows{rows}", rows) for rows in (1, 4, 8, 16, 32, 96)) + (
    Bucket("any", None),
)
"""In the order in which a launch looks for its own."""

KNOBS: Mapping[str, tuple[int, ...]] = {
    "unit_blocks": (1, 2, 4, 8),  # the least outputs of a unit of work, by 16
    "unit_rows": (48, 96),  # the most rows of one
    "tile_rows": (6, 8, 12),  # the most rows whose sums are in registers at a time
    "tile_blocks": (1, 2, 4, 8),  # outputs beside them, by 16; fewer where registers would not do
    "prefetch": (0, 16, 32, 64),  # cache lines ahead in each stream of weights; 0: none
}
"""The names of a product's configuration and their values."""


def bucket_of(rows: int) -> Bucket:
    """The bucket of a launch."""
    return next(b for b in BUCKETS if b.max_rows is None or rows <= b.max_rows)


def default_configuration(bucket: Bucket) -> Configuration:
    """What a product has where no table says better.

    Few rows: small units, so that the last one is short; many: large ones, read from the L2 cache.
    """
    few = bucket.max_rows is not None
    return {
        "unit_blocks": 2 if few else 8,
        "unit_rows": 96,
        "tile_rows": 12,
        "tile_blocks": 4 if bucket.max_rows == 1 else 2,
        "prefetch": 16 if few and bucket.max_rows != 1 else 0,
    }


def candidates(bucket: Bucket) -> Iterator[Configuration]:
    """Every configuration that may be tried; of those that do the same in the bucket but one."""
    most = bucket.max_rows or max(KNOBS["unit_rows"])
    values = {
        name: [value for value in allowed if value < most] + [allowed[-1]]
        if name.endswith("_rows")
        else allowed
        for name, allowed in KNOBS.items()
    }
    for chosen in product(*map(dict.fromkeys, values.values())):
        yield dict(zip(KNOBS, chosen, strict=True))


def choice_rows(function: Function, asked: Asked) -> list[str]:
    """The choices of a product's kernel, as rows of C++: those of levels that were tuned first."""
    rows = []
    for level, name in LEVEL_NAMES.items():
        for bucket in BUCKETS:
            found = asked.get(level, {}).get(key_of(function, bucket.name, True))
            if found is not None:
                rows.append(_row(name, bucket, _checked(function, bucket, found)))
    return rows + [_row("ANY_LEVEL", bucket, default_configuration(bucket)) for bucket in BUCKETS]


def _row(level: str, bucket: Bucket, configuration: Configuration) -> str:
    blocks, rows, tile_rows, tile_blocks, prefetch = (configuration[name] for name in KNOBS)
    most = "ANY_ROWS" if bucket.max_rows is None else bucket.max_rows
    return f"{{{level}, {most}, {blocks}, {rows}, {{{tile_rows}, {tile_blocks}, {prefetch}}}}},"


def _checked(function: Function, bucket: Bucket, configuration: Configuration) -> Configuration:
    for name in dict.fromkeys([*KNOBS, *configuration]):
        if name not in KNOBS or configuration.get(name) not in KNOBS[name]:
            may = f"may be one of {KNOBS[name]}" if name in KNOBS else f"is none of {[*KNOBS]}"
            raise BuildError(
                f"{function.name} cannot have the configuration {configuration} in steps of "
                f"{bucket.name}: {name} {may}; take it out of the table"
            )
    return configuration
