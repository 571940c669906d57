"""How long launches take by prediction, on the cards that a target runs on."""

from collections.abc import Sequence

import msgspec

from ..artifact import Launch, Tape, Target
from ..runtime.cuda.card_limits import CARDS
from ..runtime.predict import predict_launches
from ..runtime.step_shape import StepShape, decode_shape, prompt_shape

_CONTEXT = 1024  # tokens before those of a decode step
_ANY_TOKENS = 2048  # of a prompt, where a tape takes any
_ANY_ROWS = 64  # of logits
_MOST_ROWS = 1 << 16


class StepFacts(msgspec.Struct, frozen=True):
    """The largest step that a tape takes; of a tape for any, a large one."""

    num_seqs: int
    num_tokens: int  # of each
    context: int  # tokens of each before them
    sizes: dict[str, int]  # T, S, R and P


def largest_step(entry: str, tape: Tape) -> StepShape:
    """Of a sequence each where the tape says so, else of one prompt."""
    most = None if tape.max_rows is None else max(1, min(tape.max_rows, _MOST_ROWS))
    if tape.one_token_each or entry.split(".")[0] == "sample":
        return decode_shape(most or _ANY_ROWS, _CONTEXT)
    return prompt_shape(1, most or _ANY_TOKENS)


def step_facts(step: StepShape) -> StepFacts:
    """The record of a step whose sequences are alike."""
    num_tokens = int(step.query_start[1])
    return StepFacts(
        num_seqs=len(step.context_lengths),
        num_tokens=num_tokens,
        context=int(step.context_lengths[0]) - num_tokens,
        sizes=dict(zip("TSRP", step.dims, strict=True)),
    )


def predict_on_cards(
    launches: Sequence[Launch], name: str, target: Target, step: StepShape, dtype: str
) -> dict[str, list[float]]:
    """Seconds of each launch by card; none for targets without one that is known, as CPUs."""
    return {
        word: predict_launches(launches, target, step, card.limits, dtype)
        for word, card in CARDS.items()
        if card.target == name and dtype in card.limits.flops_per_s
    }
