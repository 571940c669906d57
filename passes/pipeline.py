"""The whole compiler on one screen: every pass, in order, in named stages."""

from __future__ import annotations

from .add_sampling import add_sampling
from .base import Stage
from .cancel_layouts import cancel_layouts
from .carry_squares import carry_squares
from .drop_batch_axis import drop_batch_axis
from .drop_dead_nodes import drop_dead_nodes
from .drop_dead_parameters import drop_dead_parameters
from .feed_tokens import feed_tokens
from .fold_norm_weights import fold_norm_weights
from .fold_norms import fold_norms
from .fold_weights import fold_weights
from .group_regions import group_regions
from .insert_paged_cache import insert_paged_cache
from .join_cache_writes import join_cache_writes
from .join_norms import join_norms
from .lower_aten import lower_aten
from .merge_common_nodes import merge_common_nodes
from .merge_linears import merge_linears
from .peel_last_layer import peel_last_layer
from .raise_rms_norm import raise_rms_norm
from .raise_rope import raise_rope
from .roll_layers import roll_layers
from .select_rows_early import select_rows_early
from .sink_tables import sink_tables
from .sink_transposes import sink_transposes

CANONICALIZE = Stage(
    "canonicalize",
    (
        roll_layers,
        lower_aten,
        drop_batch_axis,
        cancel_layouts,
        join_norms,
        fold_weights,
        merge_common_nodes,
        sink_transposes,
        sink_tables,
        cancel_layouts,
        merge_common_nodes,
        drop_dead_nodes,
    ),
)
RAISE = Stage(
    "raise",
    (raise_rms_norm, raise_rope, cancel_layouts, merge_common_nodes, drop_dead_nodes),
)
PAGED = Stage("paged", (insert_paged_cache, feed_tokens))
FUSE = Stage(
    "fuse",
    (
        merge_linears,
        fold_norm_weights,
        select_rows_early,
        peel_last_layer,
        select_rows_early,
        add_sampling,
        drop_dead_nodes,
        drop_dead_parameters,
        drop_dead_nodes,
    ),
)
REGIONS = Stage("regions", (group_regions,))

JOIN = Stage("join", (fold_norms, carry_squares, join_cache_writes))

STAGES = (CANONICALIZE, RAISE, PAGED, FUSE, REGIONS)
"""From a traced module to regions. A stage's passes run once, in this order."""

GPU_STAGES = (*STAGES, JOIN)
"""For GPUs, where a launch costs more than doing some rows anew in each block."""


def stages_of(target: str) -> tuple[Stage, ...]:
    """The stages of a target, such as `cpu` or `cuda:sm_90`."""
    return STAGES if target == "cpu" else GPU_STAGES
