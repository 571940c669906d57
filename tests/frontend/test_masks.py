import pytest
import torch
from transformers import masking_utils as masks

from tapeout.errors import UnsupportedModelError
from tapeout.frontend.masks import recognize_mask

POSITIONS = torch.zeros(1, 4, dtype=torch.int64)


def window_of(mask):
    return recognize_mask(mask, 0, 0).window


def test_a_causal_mask_has_no_window():
    assert window_of(masks.causal_mask_function) is None


def test_a_sliding_window_is_read_off_the_closure():
    assert window_of(masks.sliding_window_causal_mask_function(7)) == 7


def test_the_terms_for_packed_sequences_are_dropped():
    mask = masks.sliding_window_causal_mask_function(7)
    if hasattr(masks, "remap_positions_for_packed_sequence"):  # not in transformers 5.17
        mask = masks.remap_positions_for_packed_sequence(mask, POSITIONS)
    assert window_of(masks.and_masks(masks.packed_sequence_mask_function(POSITIONS), mask)) == 7


def test_the_narrower_of_two_windows_holds():
    mask = masks.and_masks(
        masks.sliding_window_overlay(9), masks.sliding_window_causal_mask_function(7)
    )
    assert window_of(mask) == 7


@pytest.mark.parametrize(
    "mask",
    [
        masks.bidirectional_mask_function,
        masks.chunked_causal_mask_function(4, POSITIONS[0]),
        masks.or_masks(masks.causal_mask_function, masks.bidirectional_mask_function),
        masks.sliding_window_overlay(4),
        lambda batch, head, query, key: key <= query,
    ],
)
def test_any_other_mask_is_refused(mask):
    with pytest.raises(UnsupportedModelError, match="attention mask"):
        window_of(mask)


def test_an_offset_of_the_queries_is_refused():
    with pytest.raises(UnsupportedModelError, match="offsets 3, 0"):
        recognize_mask(masks.causal_mask_function, 3, 0)
