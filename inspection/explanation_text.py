"""Why an artifact is as it is, as lines for a terminal."""

from collections.abc import Callable, Iterator

from msgspec.json import encode
from msgspec.structs import replace

from ..runtime.units import counted
from .explain import Chosen, Explanation, Left, RegionWork, Section, Work
from .text import form_text, formula, sizes_text, table, wrapped

_MAX_OPS = 2


def text_of_explanation(explanation: Explanation) -> str:
    """What `tapeout explain` prints."""
    return "\n".join(wrapped(_lines(explanation)))


def _lines(explanation: Explanation) -> Iterator[str]:
    num_layers = counted(explanation.num_layers, "layer")
    yield f"{explanation.name}, {explanation.target}: {num_layers}"
    yield (
        f"a step with sampling: {explanation.traced_launches:,} nodes that move data, as traced; "
        f"{counted(explanation.launches, 'region')} now"
    )
    for section in explanation.sections:
        yield ""
        yield from _section_lines(section)


def _section_lines(section: Section) -> Iterator[str]:
    one = "" if len(section.layers) == 1 else "s"
    layers = f": layer{one} {ranges(section.layers)}" if section.layers else ""
    yield f"@{section.function}{layers}"
    did = [_work_row(work) for work in section.did if work.ops or work.bytes_saved]
    if did:
        yield "  passes that rewrote it, with the launches and bytes that a call saves"
        head = ("pass", "launches", "bytes", "nodes")
        yield from (f"    {line}" for line in table(head, did))
    if section.left:
        yield "  what they left"
        yield from (f"    {_left_line(left)}" for left in section.left)
    if section.idle:
        yield f"  passes that found nothing in it: {', '.join(section.idle)}"
    yield "  what it runs"
    for region in section.regions:
        yield from (f"    {line}" for line in _region_lines(region))
    fallbacks = [region.name for region in section.regions if region.is_fallback]
    if fallbacks:
        yield f"  fallbacks, which the generic emitter of rows takes: {', '.join(fallbacks)}"


def ranges(numbers: list[int]) -> str:
    """Ascending numbers as `0-3, 5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _work_row(work: Work) -> list[str]:
    ops = sorted(work.ops.items(), key=lambda item: -item[1])
    shown = [f"{op} {more:+}" for op, more in ops]
    if len(shown) > _MAX_OPS:
        shown = [shown[0], "...", shown[-1]]
    saved = formula(work.bytes_saved) if work.bytes_saved else "0"
    return [work.name, f"{work.launches_saved}", saved, ", ".join(shown)]


def _left_line(left: Left) -> str:
    miss = left.miss
    origin = f" of {miss.origin}" if miss.origin else ""
    return f"{left.name} left %{miss.value}{origin}: {miss.reason}"


def _region_lines(region: RegionWork) -> Iterator[str]:
    yield f"{region.name} ({region.anchor}), {formula(region.bytes)} bytes"
    for kernels in _groups(region.chosen, _kernels_of):
        yield from (f"  {line}" for line in _kernel_lines(kernels))


def _kernel_lines(sharing: list[Chosen]) -> Iterator[str]:
    """Of the choices that share kernels, which are named after the first size of steps."""
    first, choices = sharing[0], _groups(sharing, _choice_of)
    form = form_text(first.kind, first.configuration)
    head = f"{', '.join(first.kernels)}{_sizes(sharing)}{f': {form}' if form else ''}"
    if len(choices) == 1:
        yield f"{head} ({_origin(first)})"
        yield from _other_lines(first)
        return
    yield head
    for alike in choices:
        yield f"  {_sizes(alike).lstrip()}: {_origin(alike[0])}"
        yield from (f"  {line}" for line in _other_lines(alike[0]))


def _other_lines(chosen: Chosen) -> Iterator[str]:
    """Of a configuration of the same kind, only what differs."""
    for other in chosen.candidates:
        fields = other.configuration
        if other.kind == chosen.kind:
            own = chosen.configuration.items()
            fields = dict(item for item in fields.items() if item not in own)
        yield f"  not {form_text(other.kind, fields)}: {other.reason}"


def _groups(chosen: list[Chosen], key: Callable[[Chosen], bytes]) -> list[list[Chosen]]:
    groups: dict[bytes, list[Chosen]] = {}
    for one in chosen:
        groups.setdefault(key(one), []).append(one)
    return [*groups.values()]


def _kernels_of(chosen: Chosen) -> bytes:
    return encode((chosen.kernels, chosen.kind, chosen.configuration))


def _choice_of(chosen: Chosen) -> bytes:
    return encode(replace(chosen, steps=None))


def _sizes(alike: list[Chosen]) -> str:
    steps = [one.steps for one in alike if one.steps]
    return f" for {sizes_text(steps)}" if steps else ""


def _origin(chosen: Chosen) -> str:
    timed = f", {chosen.time_s * 1e6:.1f} us there" if chosen.time_s else ""
    return f"{chosen.origin}{timed}"
