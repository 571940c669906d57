"""What differs between two artifacts: `tapeout diff` prints it.

Each artifact is laid out as parts, each a mapping of names to values; what differs are the names
whose values do. Files are compared by digest, so that nothing differs unseen.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from operator import mul

import msgspec

from ..artifact import PASSES, Artifact
from ..artifact.choices import KernelChoice, read_choices
from ..artifact.passes import Passes
from ..artifact.schema import MANIFEST, Expression
from ..runtime.memory import round_up
from ..runtime.units import counted
from .explain import less
from .facts import ArtifactFacts, KernelFacts, facts_of
from .folding import family_of
from .tape_facts import TapeFacts
from .text import form_text, formula, sizes_text

Value = str | int | float | None
Pairs = Iterable[tuple[str, Value]]


class Changed(msgspec.Struct, frozen=True):
    """What has one name in both artifacts; None where one has nothing of that name."""

    name: str
    a: Value
    b: Value


class Difference(msgspec.Struct, frozen=True):
    """What differs, by part; a part without differences is not there."""

    a: str
    b: str
    parts: dict[str, list[Changed]]


def difference_of(a: Artifact, b: Artifact) -> Difference:
    """The differences of two opened artifacts. Raises ArtifactError."""
    first, second = _parts(a), _parts(b)
    changed = {name: _changed(first[name], second[name]) for name in first}
    return Difference(str(a.path), str(b.path), {n: found for n, found in changed.items() if found})


def _changed(a: dict[str, Value], b: dict[str, Value]) -> list[Changed]:
    names = dict.fromkeys([*a, *b])
    return [Changed(n, a.get(n), b.get(n)) for n in names if a.get(n) != b.get(n)]


def _parts(artifact: Artifact) -> dict[str, dict[str, Value]]:
    facts, manifest = facts_of(artifact), artifact.manifest
    choices = [choice for name in manifest.targets for choice in read_choices(artifact, name)]
    passes = artifact.passes() if PASSES in manifest.files else None
    kernels = [kernel for target in facts.targets.values() for kernel in target.kernels]
    tapes = [tape for target in facts.targets.values() for tape in target.tapes]
    parts: dict[str, Pairs] = {
        "model": _of_model(facts),
        "passes": _of_passes(passes) if passes else (),
        "IR": _of_functions(passes) if passes else (),
        "kernels": ((kernel.name, _kernel(kernel)) for kernel in kernels),
        "configurations": ((_kernels_of(choice), _chosen(choice)) for choice in choices),
        "tapes": ((tape.name, _tape(tape)) for tape in tapes),
        "bytes": _of_bytes(artifact, facts),
        "predicted us": (pair for tape in tapes for pair in _predicted(tape)),
        "measured us": ((_kernels_of(c), round(c.time_s * 1e6, 2)) for c in choices if c.time_s),
        "files": [*((n, f.digest) for n, f in manifest.files.items()), (MANIFEST, facts.digest)],
    }
    return {name: _named(pairs) for name, pairs in parts.items()}


def _named(pairs: Pairs) -> dict[str, Value]:
    """By name; a name that comes again has a number."""
    seen, found = Counter[str](), {}
    for name, value in pairs:
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = value
    return found


def _of_model(facts: ArtifactFacts) -> Pairs:
    yield from ((name, str(value)) for name, value in msgspec.structs.asdict(facts.model).items())
    yield from facts.tool.items()
    for name, target in facts.targets.items():
        yield name, f"levels {', '.join(target.levels)}" if target.levels else "built"
        yield f"{name} batch-invariant", "yes" if target.batch_invariant else "no"


def _of_passes(record: Passes) -> Pairs:
    """What each did by itself: totals would differ from the first difference on."""
    for before, one in pairwise(record.passes):
        label = f"{one.stage}/{one.name}"
        launches, saved = before.launches - one.launches, less(before.bytes, one.bytes)
        saving = f", saving {counted(launches, 'launch')} and {formula(saved)} bytes"
        yield label, counted(one.rewrites, "rewrite") + saving * bool(launches or saved)
        for miss in one.misses:
            yield f"{label} left %{miss.value} of @{miss.function}", miss.reason


def _of_functions(record: Passes) -> Pairs:
    """Each function after the last pass."""
    last = {name: change.text for one in record.passes for name, change in one.changes.items()}
    order = [one.order for one in record.passes if one.order][-1]
    yield from ((f"@{name}", last[name]) for name in order)


def _kernel(kernel: KernelFacts) -> str:
    said = [kernel.anchor]
    if machine := kernel.machine:
        said += [counted(machine.num_warps, "warp"), counted(machine.registers, "register")]
        said.append(f"{machine.local_bytes:,} bytes of local memory")
        said.append(f"{machine.shared_bytes:,} bytes shared")
    tapes: dict[int, list[str]] = {}
    for tape, count in kernel.launches.items():
        tapes.setdefault(count, []).append(tape)
    said += [f"{count} x in {', '.join(same)}" for count, same in tapes.items()]
    return ", ".join(said)


def _kernels_of(choice: KernelChoice) -> str:
    return f"{', '.join(choice.kernels)} for {sizes_text([choice.key.steps])}"


def _chosen(choice: KernelChoice) -> str:
    return f"{form_text(choice.kind, choice.configuration)} ({choice.origin})".lstrip()


def _tape(tape: TapeFacts) -> str:
    rows = "any rows" if tape.max_rows is None else f"to {counted(tape.max_rows, 'row')}"
    return f"{counted(tape.num_launches, 'launch')}, {rows}"


def _of_bytes(artifact: Artifact, facts: ArtifactFacts) -> Pairs:
    yield "artifact", facts.bytes
    for name, target in facts.targets.items():
        yield f"{name} weights", target.weights_bytes
        for place, slot in enumerate(target.slots):
            yield f"{name} slot {place}", " or ".join(map(formula, slot.bytes))
        for group in target.cache_groups:
            yield f"{name} cache {group.name}, a token", group.bytes_per_token
        for kernel in target.kernels:
            yield f"{kernel.name} moves", _maybe(kernel.bytes)
            yield f"{kernel.name} FLOPs", _maybe(kernel.flops)
        families = Counter[str]()
        for weight, tensor in artifact.manifest.targets[name].weights.tensors.items():
            families[family_of(weight)[0]] += round_up(tensor.bytes)  # as the target's
        yield from ((f"{name} weight {family}", size) for family, size in families.items())


def _maybe(expression: Expression | None) -> str | None:
    return None if expression is None else formula(expression)


def _predicted(tape: TapeFacts) -> Pairs:
    """Of the largest step that a tape takes, on each card."""
    counts = [run.count for run in tape.runs for _ in run.launches]
    for card, times_s in tape.predicted_s.items():
        yield f"{tape.name} on {card}", round(1e6 * sum(map(mul, counts, times_s)), 2)
