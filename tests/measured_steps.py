"""Steps whose times are in records of `bench/gpu.py`, and what is predicted for them."""

import json
import re
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tapeout import settings
from tapeout.api import plan_checkpoint
from tapeout.artifact import Described
from tapeout.runtime.cuda.card_limits import limits_of
from tapeout.runtime.predict import Bounds, Constants, bounds_of, seconds_of, step_s
from tapeout.runtime.step_shape import StepShape, decode_shape, prompt_shape

BENCH = Path(__file__).parent.parent / "bench"
TARGET = "cuda:sm_90"
NUM_NEW, STEP_TOKENS = 256, 8192  # of a decode row, after its context; of a step of prompts
_SHAPES = json.loads((BENCH / "gpu_shapes.json").read_text())
_DECODE = re.compile(r"step b(\d+) ctx (\d+)")
_PREFILL = re.compile(r"prefill (\d+)x(\d+)")


class MeasuredRow(NamedTuple):
    """A row of a record: a decode step, or what some prompts take until their first tokens."""

    what: str
    time_s: float
    steps: list[list[Bounds]]  # of each launch of each step
    is_decode: bool


def measured_rows(record: Path) -> list[MeasuredRow]:
    """The rows of steps and prompts of a record."""
    facts = json.loads(record.read_text())
    described, limits = _described(facts["shape"]), limits_of(facts["gpu"])
    assert limits is not None, f"{facts['gpu']} has limits"
    rows = []
    for row in facts["rows"]:
        shapes = _shapes_of(row["what"])
        steps = [
            bounds_of(shape.launches(described), described.target, shape, limits, "bf16")
            for shape in shapes
        ]
        is_decode = bool(shapes) and shapes[0].one_token_each
        if steps:
            rows.append(MeasuredRow(row["what"], row["value"] / 1e3, steps, is_decode))
    return rows


def predicted_s(row: MeasuredRow, constants: Constants) -> float:
    """What a row takes by the constants; equal launches are computed once."""
    total_s = 0.0
    for step in row.steps:
        times = (seconds_of(b, constants) * count for b, count in Counter(step).items())
        total_s += step_s(sum(times), len(step), row.is_decode, constants)
    return total_s


def _shapes_of(what: str) -> list[StepShape]:
    """The steps of a row, a decode step in the middle of those that were measured."""
    if found := _DECODE.fullmatch(what):
        num_seqs, context = map(int, found.groups())
        return [decode_shape(num_seqs, context + NUM_NEW // 2)]
    if found := _PREFILL.fullmatch(what):
        num_seqs, num_tokens = map(int, found.groups())
        at_a_time = STEP_TOKENS // num_tokens
        starts = range(0, num_seqs, at_a_time)
        return [prompt_shape(min(at_a_time, num_seqs - start), num_tokens) for start in starts]
    return []


@cache
def _described(shape: str) -> Described:
    with tempfile.TemporaryDirectory() as folder:
        config = _SHAPES[shape] | {"dtype": "bfloat16"}
        (Path(folder) / "config.json").write_text(json.dumps(config))
        with settings.CHECK_PASSES.override("0"):  # passes are checked on small models
            return plan_checkpoint(folder, [TARGET])[1][TARGET]
