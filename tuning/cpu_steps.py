"""Steps of the sizes that CPU kernels have choices for, as a scheduler plans them."""

from __future__ import annotations

import numpy as np

from ..codegen.cpp.choices import BUCKETS, Bucket
from ..runtime.frame import Frame
from ..runtime.limits import Limits
from ..runtime.load import LoadedModel
from ..runtime.request import Arrive, Request

_MANY_TOKENS, _PROMPT_TOKENS = 256, 32  # of a step of any size, and of each prompt in it
_MOST_ROWS = max(bucket.max_rows or 0 for bucket in BUCKETS)

LIMITS = Limits(
    max_model_len=48,
    max_num_seqs=_MOST_ROWS,
    max_num_batched_tokens=max(_MANY_TOKENS, _MOST_ROWS),
)
"""What a model is loaded for, to run these steps."""


def plan_steps(loaded: LoadedModel) -> dict[str, Frame]:
    """By bucket, its largest step: a token of so many sequences; or prompts, where any size may be.

    What the steps before them would have computed does not matter to times.
    """
    return {bucket.name: _step(loaded, bucket) for bucket in BUCKETS}


def _step(loaded: LoadedModel, bucket: Bucket) -> Frame:
    num_tokens = 1 if bucket.max_rows else _PROMPT_TOKENS
    num_prompts = bucket.max_rows or _MANY_TOKENS // _PROMPT_TOKENS
    scheduler = loaded.scheduler(enable_prefix_caching=False)
    shape, vocab_size = (num_prompts, num_tokens), loaded.manifest.model.vocab_size
    prompts = np.random.default_rng(0).integers(0, vocab_size, shape, np.int32)
    arrivals = [
        Arrive(
            Request(request_id=str(number), prompt_token_ids=prompt, max_tokens=1, cache_salt=None)
        )
        for number, prompt in enumerate(prompts)
    ]
    frame = scheduler.step(0.0, arrivals).frame
    assert frame is not None and frame.dims[0] == num_prompts * num_tokens, "the step fits"
    return frame
