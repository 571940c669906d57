"""What a part of the program holds: the sizes of all its containers, and the process's memory."""

import gc
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil

import tapeout

_PACKAGE, _FOLDERS = Path(tapeout.__file__).parent, ("runtime", "kvcache")
_COLLECTIONS = (dict, list, set, frozenset, tuple, deque)


def container_sizes(root: Any) -> Counter[str]:
    """The entries of every container below an object, by the attributes that lead there.

    Elements of one container count together, so the names do not change as it does.
    """
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    todo = [(type(root).__name__, root)]
    while todo:
        path, value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            sizes[path] += value.size
        elif isinstance(value, _COLLECTIONS):
            sizes[path] += len(value)
        todo += ((path + step, child) for step, child in _children(value))
    return sizes


def memory_bytes() -> dict[str, int]:
    """What the process has resident, and what lines of the package have allocated and keep.

    The second needs `tracemalloc` to be on.
    """
    gc.collect()
    ours = [tracemalloc.Filter(True, f"{_PACKAGE}/{folder}/*") for folder in _FOLDERS]
    traces = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
    resident = psutil.Process().memory_info().rss
    return {"resident": resident, "kept": sum(trace.size for trace in traces)}


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from (("[]", child) for pair in value.items() for child in pair)
    elif isinstance(value, _COLLECTIONS):
        yield from (("[]", child) for child in value)
    elif isinstance(value, msgspec.Struct):
        yield from ((f".{name}", getattr(value, name)) for name in value.__struct_fields__)
    elif type(value).__module__.startswith("tapeout"):
        names = [*getattr(value, "__dict__", ()), *getattr(type(value), "__slots__", ())]
        yield from ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))
