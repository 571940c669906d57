"""What an executor keeps for each slot: the tokens of the sequence there, and how to sample it."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from .frame import I32, Arrival, Edits

_SETTINGS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
_NO_LOGPROBS = -1


class SlotTables:
    """Rows of an artifact's inputs; what a free slot holds means nothing."""

    def __init__(self, inputs: Mapping[str, NDArray[Any]], num_slots: int) -> None:
        self._tokens = inputs["token_table"]
        self._settings = [(name, inputs[name]) for name in _SETTINGS]
        self._seeds = inputs["seeds"]
        self._num_prompt_tokens = inputs["num_prompt_tokens"]
        self._num_logprobs = inputs["num_logprobs"]
        self._num_prompt_logprobs = inputs["num_prompt_logprobs"]
        self._has_mask = inputs["has_mask"]
        self._masks = inputs["masks"].reshape(num_slots, -1)
        self._edits = _EditTables(inputs, num_slots)

    def occupy(self, arrival: Arrival) -> None:
        """Fills a slot's row in every table."""
        slot, sampling = arrival.slot, arrival.sampling
        end = arrival.first_place + len(arrival.token_ids)
        self._tokens[arrival.first_place : end] = arrival.token_ids
        self._num_prompt_tokens[slot] = arrival.num_prompt_tokens
        for name, column in self._settings:
            column[slot] = getattr(sampling, name)
        self._seeds[slot] = sampling.seed
        self._num_logprobs[slot] = _count(sampling.num_logprobs)
        self._num_prompt_logprobs[slot] = _count(sampling.num_prompt_logprobs)
        self._edits.set(slot, sampling.edits)
        self._has_mask[slot] = 0
        if sampling.mask is not None:
            self.set_mask(slot, sampling.mask)

    def set_mask(self, slot: int, mask: I32) -> None:
        """Replaces the mask of a slot."""
        self._masks[slot] = mask
        self._has_mask[slot] = 1


class _EditTables:
    def __init__(self, inputs: Mapping[str, NDArray[Any]], num_slots: int) -> None:
        self._counts = inputs["num_edits"]
        self._token_ids = inputs["edit_tokens"].reshape(num_slots, -1)
        self._values = inputs["edit_values"].reshape(num_slots, -1)
        self._ends = inputs["edit_ends"].reshape(num_slots, -1)
        self._prefix_starts = inputs["edit_prefix_starts"].reshape(num_slots, -1)
        self._prefix_tokens = inputs["edit_prefixes"].reshape(num_slots, -1)

    def set(self, slot: int, edits: Edits | None) -> None:
        count = 0 if edits is None else len(edits.token_ids)
        assert count <= self._token_ids.shape[1], f"{count} edits are more than a row holds"
        self._counts[slot] = count
        if edits is None or count == 0:
            return
        self._token_ids[slot, :count] = edits.token_ids
        self._values[slot, :count] = edits.values
        self._ends[slot, :count] = edits.ends
        self._prefix_starts[slot, : count + 1] = edits.prefix_starts
        self._prefix_tokens[slot, : len(edits.prefix_tokens)] = edits.prefix_tokens


def _count(num_logprobs: int | None) -> int:
    return _NO_LOGPROBS if num_logprobs is None else num_logprobs
