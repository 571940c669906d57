"""Every kernel against its records, over every tape and layer, at the sizes that are tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from ..codegen.cpp.choices import BUCKETS
from ..codegen.pages import CPU
from .findings import Findings
from .subject import Subject
from .trials import Trial, trials
from .walk import Walk, WrongTape

_LAUNCH_TOKENS = 40  # what a launch costs beside its tokens, in tokens: to tell the time to go

Progress = Callable[[str, int, int], None]


def check_kernels(subject: Subject, findings: Findings, progress: Progress) -> None:
    """Walks every tape, with all steps that are tried with it side by side."""
    before, buckets = findings.num_faults, _buckets(subject)
    tried = list(trials(subject.tapes, subject.plan, subject.vocab_size, buckets))
    steps = {tape: [*same] for tape, same in groupby(tried, lambda trial: trial.tape)}
    total = sum(len(subject.tapes[tape].launches) * _weight(same) for tape, same in steps.items())
    subject.fill_caches()
    done = 0
    for tape, same in steps.items():

        def advance(num_launches: int, weight: int = _weight(same)) -> None:
            nonlocal done
            done += num_launches * weight
            progress("kernels", done, total)

        frames = [trial.frame for trial in same]
        try:
            Walk(subject, tape, frames, findings.note, advance).walk()
        except WrongTape as error:
            findings.fault(f"tape {error}")
    most = max((trial.num_tokens for trial in tried), default=0)
    kernels = f"{len(findings.kernels())} regions' kernels in all layers of {len(steps)} tapes"
    detail = f"{kernels}, {len(tried)} steps of 1 to {most} tokens"
    findings.close("kernels", before, detail)


def _buckets(subject: Subject) -> list[int]:
    """The rows up to which kernels for CPUs choose how to go about it."""
    most = [bucket.max_rows for bucket in BUCKETS if subject.target_name == CPU]
    return [rows for rows in most if rows is not None]


def _weight(steps: Sequence[Trial]) -> int:
    """Of a launch in all of them."""
    return sum(_LAUNCH_TOKENS + step.num_tokens for step in steps)
