"""What can be asked of a fusion: the passes that say, of what they left, which predicate failed."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Explain, Pass
from .fold_norm_weights import fold_norm_weights, missed_norm_weights
from .fold_norms import fold_norms, missed_norms
from .join_cache_writes import join_cache_writes, missed_cache_writes
from .merge_linears import merge_linears, missed_linears
from .roll_layers import missed_rolls, roll_layers
from .select_rows_early import missed_rows, select_rows_early

EXPLAINS: Mapping[Pass, Explain] = {
    roll_layers: missed_rolls,
    merge_linears: missed_linears,
    fold_norm_weights: missed_norm_weights,
    select_rows_early: missed_rows,
    fold_norms: missed_norms,
    join_cache_writes: missed_cache_writes,
}
"""By pass; what `--require-fusion` takes are their names."""
