"""Steps of the fake model: whole prompts or parts of them, and the decode step that follows."""

import msgspec
import numpy as np
from fake_model import VOCAB

from tapeout.verification.frames import i32, packed_frame

LENGTH = 200
PROMPTS = [[(5 * i + n) % VOCAB for i in range(n)] for n in (1, 33, 7, 100)]


def frame_of(prompts, starts=None, rows=None, **options):
    """Whole prompts, or what follows `starts` of each; each has pages of its own."""
    starts = starts or [0] * len(prompts)
    spans = [range(start, len(prompt)) for start, prompt in zip(starts, prompts, strict=True)]
    table = i32(1 + np.arange(len(prompts) * 13).reshape(len(prompts), 13))
    return packed_frame(prompts, spans, (table,), LENGTH, rows, **options)


def last_rows(prompts):
    """The rows of the last token of each prompt."""
    return np.cumsum([len(prompt) for prompt in prompts]) - 1


def following(frame, step_id):
    """The decode step after another: it has the tokens that are sampled there."""
    count = len(frame.context_lengths)
    return msgspec.structs.replace(
        frame,
        step_id=step_id,
        token_places=frame.sample_places,
        positions=i32(frame.sample_positions),
        sequence_ids=i32(np.arange(count)),
        query_start=i32(np.arange(count + 1)),
        context_lengths=frame.context_lengths + np.int32(1),
        logit_rows=i32(np.arange(count)),
        sample_positions=frame.sample_positions + 1,
        sample_places=frame.sample_places + np.int32(1),
        arrivals=(),
    )
