"""One random history of an engine: who comes when, how steps are cut, and what goes wrong."""

import random
from collections.abc import Mapping

from compared import Alone, Compared
from mixed_requests import MAX_TOKENS, PAGE_SIZE_TOKENS
from recorder import Recorder

_CHUNKS = (8, 9, 16, 23, 64, 512)
_PAGES_OF_A_REQUEST = 1 + MAX_TOKENS // PAGE_SIZE_TOKENS


def run_random_batch(recorder: Recorder, wanted: Mapping[str, Alone], seed: int) -> Compared:
    """Up to sixteen requests, all held against themselves alone; gives the loop they ran in."""
    rng = random.Random(seed)
    max_num_seqs = rng.randint(1, 8)
    loop = Compared(
        recorder,
        dict(wanted),
        depth=rng.choice((0, 1, 1, 2)),
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max(rng.choice(_CHUNKS), max_num_seqs),
        max_model_len=MAX_TOKENS,
        num_pages=1 + _PAGES_OF_A_REQUEST * rng.randint(1, max_num_seqs),
        enable_prefix_caching=rng.random() < 0.7,
    )
    arrivals = [rng.choice(sorted(wanted)) for _ in range(rng.randint(1, 16))]
    troubles = rng.choice((0.0, 0.0, 0.05, 0.3))
    while arrivals or not loop.is_idle:
        while arrivals and rng.random() < 0.5:
            _arrive(loop, f"{arrivals.pop()}/{len(arrivals)}", rng)
        if rng.random() < troubles:
            _trouble(loop, rng)
        loop.step()
    return loop


def _arrive(loop: Compared, request_id: str, rng: random.Random) -> None:
    request = loop.wanted[request_id.split("/")[0]].request
    loop.add(
        request,
        request_id,
        priority=rng.choice((0, 0, 1)),
        tenant=rng.choice("ab"),
        cache_salt=rng.choice((b"", b"", b"other")),
        watched=request.watched or rng.random() < 0.5,
    )


def _trouble(loop: Compared, rng: random.Random) -> None:
    """Troubles go as far as one may that the others never see."""
    names = sorted(loop.scheduler.sequences.slot_of)
    kind = rng.random()
    if kind < 0.1:
        loop.lose_steps()
    elif names and kind < 0.2:
        loop.cancel(rng.choice(names))
    elif names:
        loop.preempt(rng.choice(names))
