import numpy as np
import pytest
from fake_model import INPUTS

from tapeout.runtime.frame import Arrival, Edits, Sampling
from tapeout.runtime.slot_tables import SlotTables
from tapeout.verification.frames import i32

SLOTS, LENGTH = 3, 10
DTYPES = {"i32": np.int32, "i64": np.int64, "f32": np.float32}
EDITS = Edits(i32([5, 6]), np.float32([2.5, -np.inf]), i32([9, 99]), i32([0, 0, 2]), i32([1, 2]))
SAMPLING = Sampling(
    temperature=0.5,
    top_k=7,
    top_p=0.25,
    min_p=0.125,
    repetition_penalty=1.5,
    presence_penalty=-0.5,
    frequency_penalty=0.75,
    seed=-(2**63),
    num_logprobs=0,
    num_prompt_logprobs=4,
    edits=EDITS,
    mask=i32(range(-5, 5)),
)


@pytest.fixture
def inputs():
    """Every table of slots, filled with what no sequence has."""
    sizes = {"": 1, "N": SLOTS, "L": SLOTS * LENGTH}
    return {
        name: np.full(
            sum(factor * sizes[s] for s, factor in size.items()) // DTYPES[dtype]().itemsize,
            77,
            DTYPES[dtype],
        )
        for name, dtype, size in INPUTS
        if set(size) <= set(sizes)
    }


def arrive(inputs, slot, sampling):
    tables = SlotTables(inputs, SLOTS)
    tables.occupy(Arrival(slot, slot * LENGTH, i32([3, 4, 5]), 2, sampling))
    return tables


def row(inputs, name, slot=1):
    return inputs[name].reshape(SLOTS, -1)[slot].tolist()


def test_every_setting_of_a_sequence_is_in_its_row(inputs):
    arrive(inputs, 1, SAMPLING)
    for name in ("temperature", "top_k", "top_p", "min_p", "num_logprobs", "num_prompt_logprobs"):
        assert row(inputs, name) == [getattr(SAMPLING, name)]
    for kind in ("repetition", "presence", "frequency"):
        assert row(inputs, f"{kind}_penalty") == [getattr(SAMPLING, f"{kind}_penalty")]
    assert row(inputs, "seeds") == [-(2**63)]
    assert row(inputs, "num_prompt_tokens") == [2]
    assert row(inputs, "token_table")[:4] == [3, 4, 5, 77]
    assert (row(inputs, "has_mask"), row(inputs, "masks")) == ([1], list(range(-5, 5)))
    assert row(inputs, "num_edits") == [2]
    assert row(inputs, "edit_tokens")[:3] == [5, 6, 77]
    assert row(inputs, "edit_values")[:3] == [2.5, -np.inf, 77]
    assert row(inputs, "edit_ends")[:3] == [9, 99, 77]
    assert row(inputs, "edit_prefix_starts")[:4] == [0, 0, 2, 77]
    assert row(inputs, "edit_prefixes")[:3] == [1, 2, 77]


@pytest.mark.parametrize("slot", [0, 2])
def test_the_rows_of_other_slots_stay(inputs, slot):
    arrive(inputs, 1, SAMPLING)
    assert all(set(row(inputs, name, slot)) == {77} for name in inputs)


def test_the_next_sequence_has_nothing_of_the_one_before(inputs):
    arrive(inputs, 1, SAMPLING)
    arrive(inputs, 1, Sampling())
    for name, value in {"num_edits": 0, "has_mask": 0, "num_logprobs": -1}.items():
        assert row(inputs, name) == [value]
    assert row(inputs, "num_prompt_logprobs") == [-1]
    assert row(inputs, "temperature") == [0] and row(inputs, "repetition_penalty") == [1]


def test_a_mask_replaces_the_one_before(inputs):
    tables = arrive(inputs, 1, Sampling())
    assert row(inputs, "has_mask") == [0]
    tables.set_mask(1, i32([9] * 10))
    assert (row(inputs, "has_mask"), row(inputs, "masks")) == ([1], [9] * 10)


def test_more_edits_than_there_is_room_for_are_a_broken_invariant(inputs):
    many = np.zeros(1025, np.int32)
    edits = Edits(many, many.astype(np.float32), many, np.zeros(1026, np.int32), many[:0])
    with pytest.raises(AssertionError, match="1025 edits are more than a row holds"):
        arrive(inputs, 1, Sampling(edits=edits))
