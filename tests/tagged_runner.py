"""A model whose next token is a hash of what its cache pages hold.

Each cache entry is a tag of the token and the position that wrote it, so a page that is stale,
foreign, shared or never written changes a token.
"""

import numpy as np

from tapeout.kvcache.cache import PagedCache
from tapeout.runtime.scheduler import Scheduler

PAGE = 4
VOCAB = 251


class TagGroup:
    name, layers, page_size_tokens, page_bytes_per_layer = "full", 1, PAGE, 8 * PAGE


def next_token(tags) -> int:
    value = 1469598103934665603
    for tag in tags:
        value = ((value ^ int(tag)) * 1099511628211) % 2**61
    return value % VOCAB


def tag(token_id, position) -> int:
    return (int(token_id) * 1_000_003 + int(position) + 1) % 2**31


def reference(prompt, num_tokens) -> list[int]:
    """What the model says to a prompt that is alone in the world."""
    known = list(prompt)
    for _ in range(num_tokens):
        known.append(next_token(tag(t, p) for p, t in enumerate(known)))
    return known[len(prompt) :]


class TaggedRunner:
    def __init__(self, num_pages) -> None:
        self.tags = np.zeros((num_pages, PAGE), np.int64)
        self.num_steps, self.max_tokens_of_a_step = 0, 0

    def run(self, frame, sampling):
        (table,) = frame.block_tables
        self.num_steps += 1
        self.max_tokens_of_a_step = max(self.max_tokens_of_a_step, len(frame.token_ids))
        for token, position, row in zip(
            frame.token_ids, frame.positions, frame.sequence_ids, strict=True
        ):
            page = table[row, position // PAGE]
            assert page != 0, "a token is written to the null page"
            self.tags[page, position % PAGE] = tag(token, position)
        chosen = [self._next(frame, table, t) for t in frame.logit_rows]
        assert list(sampling.sample_positions) == [frame.positions[t] + 1 for t in frame.logit_rows]
        return np.array(chosen, np.int32)

    def _next(self, frame, table, token_index) -> int:
        row, position = frame.sequence_ids[token_index], frame.positions[token_index]
        assert frame.context_lengths[row] == position + 1
        places = np.arange(position + 1)
        return next_token(self.tags[table[row, places // PAGE], places % PAGE])


def make_scheduler(num_pages=65, max_num_seqs=4, max_model_len=64, max_num_batched_tokens=16):
    width = -(-max_model_len // PAGE)
    cache = PagedCache((TagGroup(),), [num_pages], max_num_seqs, width)
    return Scheduler(cache, max_num_seqs, max_model_len, max_num_batched_tokens)
