"""Fits the constants of `runtime/predict.py` to times of one shape, and judges them on others.

    PYTHONPATH=tests python bench/calibrate.py [--fit RECORD] [--host RECORD] [--judge RECORD]...

Records are those of `bench/gpu.py`; that of the host is of `bench/prefill_overhead.py`, for the
shape that is fitted: large launches hide what the host takes for them. What is fitted are
logarithms, each drawn a little to where it is known to lie; what is printed goes into `CONSTANTS`.
"""

import json
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from statistics import median

import click
from measured_steps import BENCH, MeasuredRow, measured_rows, predicted_s

from tapeout.runtime.predict import Constants

RESULTS = BENCH / "results"
FIT = RESULTS / "2026-11-29-h200-llama-3.1-8b.json"
JUDGE = [RESULTS / f"2026-11-29-h200-{shape}.json" for shape in ("llama-3.2-1b", "qwen3-0.6b")]
START = Constants(  # what kernels of products and attention showed when they were timed alone
    launch_s=1.6e-6,
    product_s=1.3e-6,
    attention_s=2e-6,
    memory_share=0.91,
    cache_bytes_per_s=57e9,
    product_share=0.72,
    attention_share=0.55,
    tape_launch_s=5e-6,
    prompt_s=0.5e-3,
)
PULL = 1e-3  # a constant that is off by a factor of e costs as much as rows that are off by 3 %
FIRST_STRIDE, LAST_STRIDE = 0.2, 0.005


def loss(rows: Sequence[MeasuredRow], constants: Constants, start: Constants) -> float:
    """Mean square of the logarithms of predicted over measured, and of the pull."""
    off = [log(predicted_s(row, constants) / row.time_s) ** 2 for row in rows]
    pulled = [log(a / b) ** 2 for a, b in zip(constants, start, strict=True)]
    return sum(off) / len(off) + PULL * sum(pulled)


def tape_launch_s(record: Path, rows: Sequence[MeasuredRow]) -> float:
    """What the host takes for a launch of the shortest prompt's tape."""
    prompt = json.loads(record.read_text())["rows"][0]
    what = f"prefill {prompt['prompts'].replace(' ', '')}"
    [step] = next(row.steps for row in rows if row.what == what)
    return float(prompt["launching us"]) / 1e6 / len(step)


def fit(rows: Sequence[MeasuredRow], start: Constants) -> Constants:
    """Goes along one constant after the other while that helps, in ever smaller strides."""
    best, stride = start, FIRST_STRIDE
    least = loss(rows, best, start)
    while stride > LAST_STRIDE:
        before = least
        for name in Constants._fields:
            for factor in (exp(stride), exp(-stride)):
                other = best._replace(**{name: getattr(best, name) * factor})
                if (found := loss(rows, other, start)) < least:
                    best, least = other, found
        if least == before:
            stride /= 2
    return best


def print_errors(record: Path, rows: Sequence[MeasuredRow], constants: Constants) -> None:
    """A line for each row, and the median and the worst of all."""
    print(f"\n{record.name}")
    errors = []
    for row in rows:
        found_s = predicted_s(row, constants)
        errors.append(found_s / row.time_s - 1)
        print(f"{row.what:<20}{row.time_s * 1e3:>9.3f}{found_s * 1e3:>9.3f}{errors[-1]:>+7.0%}")
    sizes = [abs(error) for error in errors]
    print(f"median {median(sizes):.1%}, worst {max(sizes):.1%}")


@click.command()
@click.option("--fit", "fitted", type=click.Path(path_type=Path), default=FIT)
@click.option("--host", type=click.Path(path_type=Path))
@click.option("--judge", "judged", type=click.Path(path_type=Path), multiple=True, default=JUDGE)
def main(fitted: Path, host: Path | None, judged: tuple[Path, ...]) -> None:
    """Prints the constants, and how far predictions are off."""
    rows, start = measured_rows(fitted), START
    if host is not None:
        start = start._replace(tape_launch_s=tape_launch_s(host, rows))
    constants = fit(rows, start)
    for name, value in constants._asdict().items():
        print(f"{name}={value:.2g},")
    print_errors(fitted, rows, constants)
    for record in judged:
        print_errors(record, measured_rows(record), constants)


if __name__ == "__main__":
    main()
