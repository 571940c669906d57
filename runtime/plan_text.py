"""Plans as a table to read: a column for each target, side by side."""

from collections.abc import Iterator, Mapping, Sequence

from .plan_report import PredictedStep, TargetPlan
from .units import counted, readable_bytes

_LEAST_SHARE = 0.01  # of a step's time that a kernel in the table has
Column = Mapping[str, str]  # a target's cells, by the names of their rows


def plans_text(plans: Sequence[TargetPlan]) -> str:
    """The table, and below it what it takes for granted."""
    heads = [["", *(plan.target for plan in plans)], ["", *(plan.device for plan in plans)]]
    rows = [*heads, *_section("memory", [_memory(plan) for plan in plans])]
    rows += _times("decode step, predicted ms", [plan.decode for plan in plans])
    rows += _times("prompt, predicted ms", [plan.prompts for plan in plans])
    kinds = [[*plan.decode, *plan.prompts] for plan in plans]
    for name in _telling(kinds):
        rows += _kernels(name, kinds)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    assumed = dict.fromkeys(f"{plan.device}: {plan.assumed}" for plan in plans)
    notes = [f"{p.target} on {p.device}: {note}" for p in plans for note in _notes(p)]
    return "\n".join([*(_line(row, widths) for row in rows), "", *notes, *assumed])


def _notes(plan: TargetPlan) -> Iterator[str]:
    if plan.memory.cut:
        yield plan.memory.cut
    for context in plan.too_long:
        most = counted(plan.memory.max_model_len, "token")
        yield f"no decode step after {counted(context, 'token')}: a sequence has at most {most}"


def _section(title: str, columns: Sequence[Column]) -> Iterator[list[str]]:
    names = dict.fromkeys(name for column in columns for name in column)
    if names:
        yield from ([""] * (1 + len(columns)), [title, *[""] * len(columns)])
    for name in names:
        yield [f"  {name}", *(column.get(name, "-") for column in columns)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def _memory(plan: TargetPlan) -> Column:
    memory = plan.memory
    sizes = {
        "weights": memory.weights_bytes,
        "arena": memory.arena_bytes,
        "inputs": memory.inputs_bytes,
        "keys and values": memory.kv_cache_bytes,
        "all of these": memory.total_bytes,
    }
    if plan.graphs_bytes:
        sizes["graphs beside them, about"] = plan.graphs_bytes
    counts = {
        "tokens of keys and values": memory.num_kv_tokens,
        "tokens of a sequence": memory.max_model_len,
        "sequences at a time": memory.max_num_seqs,
        "so long ones that fit": plan.num_longest_seqs,
        "tokens of a step": memory.max_num_batched_tokens,
        **{f"pages of {group}": count for group, count in plan.num_pages.items()},
    }
    return {
        **{name: readable_bytes(size) for name, size in sizes.items()},
        **{name: f"{count:,}" for name, count in counts.items()},
        "batch-invariant": "yes" if plan.batch_invariant else "no",
    }


def _times(title: str, columns: Sequence[Sequence[PredictedStep]]) -> Iterator[list[str]]:
    """In the order of their sizes, for not every target has pages for each."""
    steps = (step for column in columns for step in column)
    names = map(_name, sorted(steps, key=lambda s: (s.num_tokens, s.num_seqs, s.context)))
    cells = [{_name(step): f"{step.time_s * 1e3:.3f}" for step in column} for column in columns]
    yield from _section(title, [dict.fromkeys(names, "-") | cells[0], *cells[1:]])


def _kernels(title: str, columns: Sequence[Sequence[PredictedStep]]) -> Iterator[list[str]]:
    """Those with a share of the time worth a row on any device, with their times on all."""
    found = [
        [row for step in steps if _name(step) == title for row in step.kernels] for steps in columns
    ]
    told = {row.name for rows in found for row in rows if row.share >= _LEAST_SHARE}
    cells = [
        {f"{r.num_launches} x {r.name}": f"{r.time_s * 1e6:.1f}" for r in rows if r.name in told}
        for rows in found
    ]
    yield from _section(f"kernels, {title}, us", cells)


def _telling(columns: Sequence[Sequence[PredictedStep]]) -> Iterator[str]:
    """The steps whose kernels are shown: the smallest and the largest decode step of all targets,
    and the longest prompt."""
    steps = [step for column in columns for step in column]
    decode = [step for step in steps if step.num_tokens == 1]
    prompts = [step for step in steps if step.num_tokens > 1]
    chosen = [decode[0], max(decode, key=lambda step: step.num_seqs)] if decode else []
    chosen += [max(prompts, key=lambda step: step.num_tokens)] if prompts else []
    return iter(dict.fromkeys(map(_name, chosen)))


def _name(step: PredictedStep) -> str:
    if step.num_tokens > 1:
        return counted(step.num_tokens, "token")
    return f"{step.num_seqs} after {counted(step.context, 'token')}"
