"""Predictions against what was measured of shapes that they were not fitted to."""

import pytest
from measured_steps import BENCH, measured_rows, predicted_s

from tapeout.runtime.predict import CONSTANTS

RECORDS = ["2026-11-29-h200-llama-3.2-1b", "2026-11-29-h200-qwen3-0.6b"]


@pytest.mark.parametrize("record", RECORDS)
def test_steps_are_predicted_within_15_percent_in_the_median_and_30_at_worst(record):
    rows = measured_rows(BENCH / "results" / f"{record}.json")
    found = {row.what: predicted_s(row, CONSTANTS) / row.time_s - 1 for row in rows}
    errors = sorted(map(abs, found.values()))
    assert len(errors) >= 10
    assert errors[len(errors) // 2] <= 0.15 and errors[-1] <= 0.30, found
