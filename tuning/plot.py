"""Time against share of the roofline, before and after, as an SVG of our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10

from ..artifact.tuning_table import Entry

_WIDTH, _HEIGHT = 760, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 56, 52
_STEPS, _MAX_LINES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0), 10  # of shares
_BEFORE, _AFTER = "#9aa3ad", "#0b6e4f"

_FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
 font-family="system-ui, sans-serif" font-size="12" fill="#333">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{left}" y="24" font-size="15">{title}</text>
<circle cx="{left}" cy="40" r="4" fill="none" stroke="{before}" stroke-width="1.5"/>
<text x="{text_1}" y="44">the artifact's own choice</text>
<circle cx="{key_2}" cy="40" r="4" fill="{after}"/><text x="{text_2}" y="44">tuned</text>
{body}
</svg>
"""


def render_plot(entries: Sequence[Entry], title: str) -> str:
    """Two dots for each entry that has a roofline, joined by a line; a dot's title names it."""
    shown = [entry for entry in entries if entry.least_s is not None]
    scale = _Scale(shown)
    body = [*scale.axes(), *(line for entry in shown for line in _dots(entry, scale))]
    return _FRAME.format(
        **{"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "before": _BEFORE, "after": _AFTER},
        **{"text_1": _LEFT + 10, "key_2": _LEFT + 190, "text_2": _LEFT + 200},
        title=escape(title),
        body="\n".join(body),
    )


class _Scale:
    """Places of times, by their logarithms, and of shares."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        times = [time for entry in entries for time in (entry.time_s, entry.before_s)]
        shares = [share for entry in entries for share in _shares(entry)]
        self._low = floor(log10(min(times, default=1e-6)))
        self._high = max(ceil(log10(max(times, default=1e-3))), self._low + 1)
        most = max(1.0, *shares, 1.0)
        self._step = next(step for step in _STEPS if most <= step * _MAX_LINES)
        self._top = ceil(most / self._step) * self._step

    def x(self, time_s: float) -> float:
        """Of a time."""
        share = (log10(time_s) - self._low) / (self._high - self._low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        """Of a share of the roofline."""
        return _HEIGHT - _BOTTOM - share / self._top * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self) -> Iterator[str]:
        """Lines and names of round values, and what they are."""
        for power in range(self._low, self._high + 1):
            x = self.x(10.0**power)
            yield _line(x, _TOP, x, _HEIGHT - _BOTTOM, "#e3e6ea")
            yield _text(x, _HEIGHT - _BOTTOM + 18, f"{10.0 ** (power + 6):g} us", "middle")
        for number in range(round(self._top / self._step) + 1):
            y = self.y(number * self._step)
            yield _line(_LEFT, y, _WIDTH - _RIGHT, y, "#e3e6ea")
            yield _text(_LEFT - 8, y + 4, f"{number * self._step:.0%}", "end")
        yield _line(_LEFT, self.y(1), _WIDTH - _RIGHT, self.y(1), "#c0392b")
        yield _text(_WIDTH / 2, _HEIGHT - 12, "time of a launch", "middle")
        yield (
            f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
            "share of the roofline</text>"
        )


def _dots(entry: Entry, scale: _Scale) -> Iterator[str]:
    before, after = _shares(entry)
    x0, y0 = scale.x(entry.before_s), scale.y(before)
    x1, y1 = scale.x(entry.time_s), scale.y(after)
    shape = "x".join(map(str, entry.key.shape))
    name = f"{entry.key.kernel} {shape} {entry.key.steps}: {entry.before_s / entry.time_s:.2f}x"
    title = f"<title>{escape(name)}</title>"
    yield _line(x0, y0, x1, y1, _AFTER)
    yield (
        f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="4" fill="#fff" stroke="{_BEFORE}"'
        f' stroke-width="1.5">{title}</circle>'
    )
    yield f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="4" fill="{_AFTER}">{title}</circle>'


def _shares(entry: Entry) -> tuple[float, float]:
    before, after = entry.roofline_before, entry.roofline
    assert before is not None and after is not None, "an entry that has a roofline"
    return before, after


def _line(x0: float, y0: float, x1: float, y1: float, color: str) -> str:
    return f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{color}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
