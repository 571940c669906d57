"""Every kernel against its records, over every tape and layer, at the sizes that are tried."""

from __future__ import annotations

from collections.abc import Callable

from ..codegen.cpp.choices import BUCKETS
from ..codegen.pages import CPU
from .findings import Findings
from .subject import Subject
from .trials import Trial, trials
from .walk import Walk, WrongTape

_LAUNCH_TOKENS = 40  # what a launch costs beside its tokens, in tokens: to tell the time to go

Progress = Callable[[str, int, int], None]


def check_kernels(subject: Subject, findings: Findings, progress: Progress) -> None:
    """Walks every tape."""
    before, buckets = findings.num_faults, _buckets(subject)
    tried = list(trials(subject.tapes, subject.plan, subject.vocab_size, buckets))
    weights = [_weight(subject, trial) for trial in tried]
    subject.fill_caches()
    done = 0
    for trial, weight in zip(tried, weights, strict=True):
        progress("kernels", done, sum(weights))
        _walk(subject, trial, findings)
        done += weight
    count = len(findings.kernels())
    detail = f"{count} regions' kernels in {len(subject.tapes)} tapes, {len(tried)} steps"
    findings.close("kernels", before, detail)


def _walk(subject: Subject, trial: Trial, findings: Findings) -> None:
    if trial.tape.split(".")[0] == "step":
        subject.executor.send(trial.frame)
    else:
        subject.executor.step(trial.frame)  # whose logits it takes
    try:
        Walk(subject, trial.tape, trial.frame, findings.note).walk()
    except WrongTape as error:
        findings.fault(f"tape {error}")


def _buckets(subject: Subject) -> list[int]:
    """The rows up to which kernels for CPUs choose how to go about it."""
    most = [bucket.max_rows for bucket in BUCKETS if subject.target_name == CPU]
    return [rows for rows in most if rows is not None]


def _weight(subject: Subject, trial: Trial) -> int:
    return len(subject.tapes[trial.tape].launches) * (_LAUNCH_TOKENS + trial.num_tokens)
