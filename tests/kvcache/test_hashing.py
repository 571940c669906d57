import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.kvcache.hashing import page_hashes

TOKENS = np.arange(1, 41, dtype=np.int32)


@pytest.mark.parametrize("num_tokens, num_full", [(0, 0), (1, 0), (15, 0), (16, 1), (33, 2)])
def test_each_full_page_has_a_hash_of_16_bytes(num_tokens, num_full):
    hashes = page_hashes(TOKENS[:num_tokens], 16, b"")
    assert [len(page_hash) for page_hash in hashes] == [16] * num_full


def test_a_hash_tells_every_token_up_to_the_page_end():
    hashes = page_hashes(TOKENS, 4, b"")
    for position in range(40):
        changed = TOKENS.copy()
        changed[position] = 0
        pairs = list(zip(page_hashes(changed, 4, b""), hashes, strict=True))
        first = position // 4
        assert all(a == b for a, b in pairs[:first])
        assert all(a != b for a, b in pairs[first:])


@pytest.mark.parametrize("bit", range(31))
def test_a_hash_tells_every_bit_of_a_token(bit):
    changed = TOKENS[:4] ^ np.array([0, 0, 0, 1 << bit], np.int32)
    assert page_hashes(changed, 4, b"") != page_hashes(TOKENS[:4], 4, b"")


def test_equal_pages_at_different_places_have_different_hashes():
    hashes = page_hashes(np.full(32, 7, np.int32), 4, b"")
    assert len(set(hashes)) == 8


def test_another_salt_gives_other_hashes():
    assert not set(page_hashes(TOKENS, 4, b"a")) & set(page_hashes(TOKENS, 4, b"b"))


@given(st.integers(0, 10), st.binary(max_size=20))
def test_a_chain_that_is_continued_is_the_whole_chain(num_pages, salt):
    cut = num_pages * 4
    head = page_hashes(TOKENS[:cut], 4, salt)
    tail = page_hashes(TOKENS[cut:], 4, salt, head[-1] if head else None)
    assert head + tail == page_hashes(TOKENS, 4, salt)


def test_no_salt_can_pass_for_a_page_of_another_chain():
    """A salt that spells what a page's hash runs over leads to a chain of its own."""
    first, second, *_ = page_hashes(TOKENS[:12], 4, b"secret")
    forged = first + TOKENS[4:8].astype("<i4").tobytes()
    assert page_hashes(TOKENS[8:12], 4, forged)[0] != page_hashes(TOKENS[8:12], 4, b"", second)[0]


def test_tokens_of_any_layout_have_the_same_hashes():
    strided = np.repeat(TOKENS, 2)[::2]
    assert page_hashes(strided, 4, b"") == page_hashes(TOKENS, 4, b"")
    assert page_hashes(TOKENS.astype(np.int64), 4, b"") == page_hashes(TOKENS, 4, b"")
