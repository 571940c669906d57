"""Names for the contents of pages: a page's hash tells all tokens up to its end.

Keys and values of a token depend on every token before it. So the hash of a page runs over the
hash of the page before and its own tokens, and the first one starts from the salt: two sequences
have a hash in common only if they agree in salt and in every token up to there.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_DIGEST_BYTES = 16
_TOKEN_BYTES = 4


def page_hashes(
    token_ids: NDArray[np.int32],
    page_size_tokens: int,
    salt: bytes,
    previous: bytes | None = None,
) -> list[bytes]:
    """The hash of each full page of `token_ids`, 16 bytes each; a rest of a page has none.

    `previous` is the hash of the page before the first of these, None at a sequence's start.
    """
    page_bytes = page_size_tokens * _TOKEN_BYTES
    tokens = np.ascontiguousarray(token_ids, "<i4").tobytes()
    chained = _root(salt) if previous is None else previous
    hashes = []
    for start in range(0, len(tokens) - page_bytes + 1, page_bytes):
        page = chained + tokens[start : start + page_bytes]
        chained = blake2b(page, digest_size=_DIGEST_BYTES).digest()
        hashes.append(chained)
    return hashes


@lru_cache(maxsize=64)
def _root(salt: bytes) -> bytes:
    # Personalized: no salt, whatever it spells, can pass for the page of another chain.
    return blake2b(salt, digest_size=_DIGEST_BYTES, person=b"salt").digest()
