"""The passes that can be asked what they left, and because of which predicate."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Explain, Pass
from .carry_squares import carry_squares, missed_squares
from .fold_norm_weights import fold_norm_weights, missed_norm_weights
from .fold_norms import fold_norms, missed_norms
from .group_regions import group_regions
from .join_cache_writes import join_cache_writes, missed_cache_writes
from .lost_epilogues import missed_epilogues
from .merge_linears import merge_linears, missed_linears
from .near_rms_norms import missed_rms_norms
from .near_ropes import missed_ropes
from .peel_last_layer import missed_layers, peel_last_layer
from .raise_rms_norm import raise_rms_norm
from .raise_rope import raise_rope
from .roll_layers import missed_rolls, roll_layers
from .select_rows_early import missed_rows, select_rows_early

EXPLAINS: Mapping[Pass, Explain] = {
    roll_layers: missed_rolls,
    raise_rms_norm: missed_rms_norms,
    raise_rope: missed_ropes,
    merge_linears: missed_linears,
    fold_norm_weights: missed_norm_weights,
    select_rows_early: missed_rows,
    peel_last_layer: missed_layers,
    group_regions: missed_epilogues,
    fold_norms: missed_norms,
    carry_squares: missed_squares,
    join_cache_writes: missed_cache_writes,
}
"""What finds the places that a pass left. The names of these passes are those of fusions."""
