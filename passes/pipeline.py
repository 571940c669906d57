"""The whole compiler on one screen: every pass, in order, in named stages."""

from __future__ import annotations

from .add_sampling import add_sampling
from .base import Stage
from .drop_dead_nodes import drop_dead_nodes
from .drop_dead_parameters import drop_dead_parameters
from .group_regions import group_regions
from .insert_paged_cache import insert_paged_cache
from .merge_common_nodes import merge_common_nodes
from .merge_linears import merge_linears
from .select_rows_early import select_rows_early

CANONICALIZE = Stage("canonicalize", ())
RAISE = Stage("raise", (merge_common_nodes, drop_dead_nodes))
PAGED = Stage("paged", (insert_paged_cache,))
FUSE = Stage(
    "fuse",
    (
        merge_linears,
        select_rows_early,
        add_sampling,
        drop_dead_nodes,
        drop_dead_parameters,
        drop_dead_nodes,
    ),
)
REGIONS = Stage("regions", (group_regions,))

STAGES = (CANONICALIZE, RAISE, PAGED, FUSE, REGIONS)
"""From a traced module to regions. A stage's passes run once, in this order."""
