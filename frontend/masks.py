"""Recognises a transformers mask closure: causal, with or without a sliding window.

The closures are introspected, never run. Which sequence a token belongs to is the engine's
business, so transformers' packed-sequence terms are dropped; any other term is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import UnsupportedModelError


@dataclass(frozen=True)
class MaskSpec:
    """Key j is visible to query i of the same sequence iff j <= i and i - j < window."""

    window: int | None = None


Mask = Callable[..., object]


def recognize_mask(mask: Mask, q_offset: object, kv_offset: object) -> MaskSpec:
    """The spec of ``mask``; UnsupportedModelError names a term that is not known."""
    if not (_is_zero(q_offset) and _is_zero(kv_offset)):
        raise UnsupportedModelError(f"attention mask: offsets {q_offset}, {kv_offset} are not 0")
    terms = list(_terms(mask))
    if "causal" not in terms:
        raise UnsupportedModelError("attention mask: not causal, as decoders are")
    windows = {int(term) for term in terms if isinstance(term, int)}
    if any(window < 1 for window in windows):
        raise UnsupportedModelError(f"attention mask: sliding window {min(windows)} is below 1")
    return MaskSpec(min(windows) if windows else None)


def _is_zero(offset: object) -> bool:
    return isinstance(offset, int) and offset == 0


def _terms(mask: Mask) -> Iterator[str | int]:
    """The conjunction's terms: ``"causal"``, or the size of a window."""
    name, cells = mask.__qualname__.removesuffix(".<locals>.inner_mask"), _closure(mask)
    match name:
        case "causal_mask_function":
            yield "causal"
        case "sliding_window_overlay":
            window = cells["sliding_window"]
            assert isinstance(window, int)
            yield window
        case "and_masks.<locals>.and_mask":
            functions = cells["mask_functions"]
            assert isinstance(functions, tuple)
            for function in functions:
                yield from _terms(function)
        case "packed_sequence_mask_function":
            return
        case "remap_positions_for_packed_sequence":
            function = cells["mask_function"]
            assert callable(function)
            yield from _terms(function)
        case _:
            raise UnsupportedModelError(
                f"attention mask: the term {name} is neither causal nor a sliding window"
            )


def _closure(mask: Mask) -> dict[str, object]:
    """The variables a closure holds, by name."""
    code, cells = getattr(mask, "__code__", None), getattr(mask, "__closure__", None) or ()
    names = code.co_freevars if code else ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
