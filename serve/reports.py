"""Splits the report of a step: each front gets what belongs to its own requests."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..runtime.frame import Logprobs, StepResult
from ..runtime.request import Finished, Progress, StepReport


def split_report(report: StepReport, owners: Mapping[str, int]) -> dict[int, StepReport]:
    """The part of each owner; requests that have none are left out."""
    progress: dict[int, list[Progress]] = defaultdict(list)
    finished: dict[int, list[Finished]] = defaultdict(list)
    for row in report.progress:
        if row.request_id in owners:
            progress[owners[row.request_id]].append(row)
    for end in report.finished:
        if end.request_id in owners:
            finished[owners[end.request_id]].append(end)
    return {
        owner: _part(report.result, progress[owner], finished[owner])
        for owner in progress.keys() | finished.keys()
    }


def _part(
    result: StepResult | None, progress: Sequence[Progress], finished: Sequence[Finished]
) -> StepReport:
    """The rows of these alone, in their order."""
    if result is None or not progress:
        return StepReport((), tuple(finished), None)
    rows: list[int] = []
    moved = []
    for p in progress:
        moved.append(Progress(p.request_id, len(rows), p.num_rows, p.is_prompt))
        rows += range(p.first_row, p.first_row + p.num_rows)
    part = StepResult(result.step_id, result.token_ids[rows], _rows_of(result.logprobs, rows))
    return StepReport(tuple(moved), tuple(finished), part)


def _rows_of(logprobs: Logprobs | None, rows: list[int]) -> Logprobs | None:
    if logprobs is None:
        return None
    return Logprobs(
        logprobs.chosen[rows],
        logprobs.ranks[rows],
        logprobs.top_token_ids[rows],
        logprobs.top[rows],
    )
