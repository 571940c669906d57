"""The record of an artifact as lines for a terminal."""

import re
from collections.abc import Iterable, Iterator, Sequence
from operator import mul
from textwrap import TextWrapper

from ..artifact.schema import Expression
from ..artifact.tuning_table import Configuration
from ..runtime.units import counted, readable_bytes
from .facts import ArtifactFacts, KernelFacts, MachineFacts, TargetFacts
from .tape_facts import TapeFacts


def text_of(facts: ArtifactFacts) -> str:
    """All of it but what the buffers of launches are."""
    return "\n".join(_lines(facts))


def _lines(facts: ArtifactFacts) -> Iterator[str]:
    model = facts.model
    yield f"{facts.name}  {facts.digest}"
    yield (
        f"{model.architecture}, {model.dtype}: {model.vocab_size:,} tokens in the vocabulary, "
        f"{model.max_position_embeddings:,} positions"
    )
    yield "built by " + ", ".join(f"{name} {version}" for name, version in facts.tool.items())
    yield f"{counted(facts.files, 'file')}, {readable_bytes(facts.bytes)}"
    yield _certificate_line(facts)
    for name, target in facts.targets.items():
        yield ""
        yield from _target_lines(name, target)


def _certificate_line(facts: ArtifactFacts) -> str:
    found = facts.certificate
    if found is None:
        return "no certificate: tapeout verify writes one"
    if found.manifest_digest != facts.digest:
        return f"the certificate is of another manifest, {found.manifest_digest}"
    return f"{'verified' if found.passed else 'found faulty'} on {found.device or 'no device'}"


def _target_lines(name: str, target: TargetFacts) -> Iterator[str]:
    levels = f" ({', '.join(target.levels)})" if target.levels else ""
    yield f"{name}{levels}, batch-invariant: {'yes' if target.batch_invariant else 'no'}"
    yield f"{counted(target.weights, 'weight')}, {readable_bytes(target.weights_bytes)} in memory"
    for group in target.cache_groups:
        layers = counted(group.layers, "layer")
        window = f"a window of {counted(group.window, 'token')}" if group.window else "no window"
        yield (
            f"cache {group.name}: {layers}, {group.bytes_per_token:,} bytes a token, "
            f"pages of {group.page_size_tokens} tokens, {window}"
        )
    yield ""
    yield from _kernel_table(target.kernels)
    yield ""
    yield from _tape_table(target.tapes)
    yield ""
    yield from table(_SLOT_HEAD, _slot_rows(target))


_MACHINE_HEAD = ("warps", "registers", "local", "shared", "blocks", "occupied", "limited by")
_TAPE_HEAD = ("tape", "rows", "launches", "that is")
_SLOT_HEAD = ("slot", "bytes", "holds")
_COLUMNS = 100


def _kernel_table(kernels: list[KernelFacts]) -> Iterator[str]:
    """On a GPU a region has many kernels: each says what it is for, below the region's name."""
    if not any(kernel.machine for kernel in kernels):
        cells = [[k.name, k.anchor, str(sum(k.launches.values()))] for k in kernels]
        yield from table(["kernel", "anchor", "launches"], cells)
        return
    regions: dict[tuple[str, str], list[list[str]]] = {}
    for kernel in kernels:
        steps = kernel.name.removeprefix(f"{kernel.region}_")
        row = [f"  {steps}", *_machine_cells(kernel.machine)]
        regions.setdefault((kernel.region, kernel.anchor), []).append(row)
    head, *rows = table(
        ["kernel", *_MACHINE_HEAD], [row for rows in regions.values() for row in rows]
    )
    yield head
    for (region, anchor), own in regions.items():
        yield f"{region} ({anchor})"
        yield from (rows.pop(0) for _ in own)


def _machine_cells(machine: MachineFacts | None) -> list[str]:
    if machine is None:
        return [""] * len(_MACHINE_HEAD)
    known = machine.occupancy is not None
    return [
        str(machine.num_warps),
        str(machine.registers),
        f"{machine.local_bytes:,}",
        f"{machine.shared_bytes:,}",
        str(machine.blocks) if known else "",
        f"{machine.occupancy:.0%}" if known else "",
        str(machine.limit) if known else "",
    ]


def _tape_table(tapes: list[TapeFacts]) -> Iterator[str]:
    """With the time of its largest step on each card, in microseconds."""
    cards = sorted({card for tape in tapes for card in tape.predicted_s})
    heads = [*_TAPE_HEAD, *(f"{card} us" for card in cards)]
    yield from table(heads, [[*_tape_row(tape), *_times(tape, cards)] for tape in tapes])


def _times(tape: TapeFacts, cards: Sequence[str]) -> list[str]:
    counts = [run.count for run in tape.runs for _ in run.launches]
    return [f"{1e6 * sum(map(mul, counts, tape.predicted_s[card])):,.0f}" for card in cards]


def _tape_row(tape: TapeFacts) -> list[str]:
    rows = "any" if tape.max_rows is None else f"to {tape.max_rows}"
    if tape.one_token_each:
        rows += ", a token each"
    parts = [f"{run.count} x {len(run.launches)}" for run in tape.runs]
    return [tape.name, rows, str(tape.num_launches), " + ".join(parts).replace("1 x ", "")]


def _slot_rows(target: TargetFacts) -> list[list[str]]:
    outputs = {slot: name for name, slot in target.outputs.items()}
    return [
        [str(place), " or ".join(map(formula, slot.bytes)), outputs.get(place, "")]
        for place, slot in enumerate(target.slots)
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they must be, the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if cell.lstrip("-")[:1].isdigit() and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Lines of at most 100 columns; what goes on is set in. Words are never broken."""
    wrapper = TextWrapper(_COLUMNS, break_long_words=False, break_on_hyphens=False)
    for line in lines:
        wrapper.subsequent_indent = " " * (len(line) - len(line.lstrip()) + 4)
        yield from wrapper.wrap(line) or [""]


def formula(expression: Expression) -> str:
    """As `64 + 4 R`."""
    terms = [f"{factor:,} {symbols}".strip() for symbols, factor in expression.items()]
    return " + ".join(terms).replace("+ -", "- ") or "0"


def form_text(kind: str, configuration: Configuration) -> str:
    """As `tile rows=64 columns=128`, the kind alone where there are no fields."""
    return " ".join([kind, *(f"{name}={value}" for name, value in configuration.items())]).strip()


def sizes_text(steps: Sequence[str]) -> str:
    """Sizes of steps by their names in keys, `16 rows` or `rows16`: as `1, 16 and any rows`."""
    kinds: dict[str, list[str]] = {}
    for name in steps:
        found = re.search(r"\d+", name)
        kind = "sequence" if "sequence" in name else "row"
        kinds.setdefault(kind, []).append(found[0] if found else "any")
    said = []
    for kind, sizes in kinds.items():
        *before, last = sizes
        all_sizes = f"{', '.join(before)} and {last}" if before else last
        said.append(f"{all_sizes} {kind}{'' if sizes == ['1'] else 's'}")
    return " and ".join(said)
