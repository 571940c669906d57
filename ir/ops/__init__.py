"""Op records, one for each op, grouped in files by family; see `base.OpRecord`."""

from . import anchors, attention, control, elementwise, layout, reduction, sampling, squares
from .aten import PREFIX, aten_record
from .base import LEVELS, REQUIRED, Kind, OpRecord, registry

__all__ = ["LEVELS", "REQUIRED", "Kind", "OpRecord", "record_of", "registry"]

FAMILIES = (anchors, attention, control, elementwise, layout, reduction, sampling, squares)


def record_of(op: str) -> OpRecord:
    """The record of an op by name; a KeyError names an unknown one."""
    return aten_record(op) if op.startswith(PREFIX) else registry()[op]
