"""A measurement as one page of HTML that needs nothing else: curves drawn as SVG.

Four curves say which share of the times is below which; two say what went on over the run.
"""

from collections.abc import Sequence
from html import escape
from math import floor, log10
from typing import NamedTuple

import numpy as np

from .client import Sample
from .report import LoadReport, inter_token_s

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 420, 220, 52, 30
_NUM_POINTS = 200
_NUM_TICKS = 4


class Curve(NamedTuple):
    """Points to join."""

    title: str
    x_name: str
    y_name: str
    x: Sequence[float]
    y: Sequence[float]


def render_page(report: LoadReport, samples: Sequence[Sample]) -> str:
    """The page."""
    charts = "".join(f"<figure>{_chart(curve)}</figure>" for curve in _curves(samples))
    title = f"{report.model}: {report.num_requests} requests"
    return _PAGE.format(title=escape(title), text=escape(report.text()), charts=charts)


def _curves(samples: Sequence[Sample]) -> list[Curve]:
    whole = [sample for sample in samples if sample.error is None]
    times = {
        "Time to first token": [sample.ttft_s for sample in whole],
        "Inter-token latency": list(inter_token_s(whole)),
        "Time per output token": [s.tpot_s for s in whole if s.tpot_s is not None],
        "End-to-end latency": [sample.e2e_s for sample in whole],
    }
    curves = [_cumulative(title, seconds) for title, seconds in times.items() if seconds]
    return [*curves, _requests(samples), _pieces(samples)]


def _cumulative(title: str, seconds: Sequence[float]) -> Curve:
    share = np.linspace(0, 99, _NUM_POINTS)  # the last hundredth would hide the others
    return Curve(
        title, "ms", "% below", (np.percentile(seconds, share) * 1e3).tolist(), share.tolist()
    )


def _requests(samples: Sequence[Sample]) -> Curve:
    """How many requests were on their way at each time."""
    end_s = max(sample.ended_s for sample in samples)
    times = np.linspace(0, end_s, _NUM_POINTS)
    begun, ended = (
        np.sort(values) for values in ([s.begun_s for s in samples], [s.ended_s for s in samples])
    )
    open_then = np.searchsorted(begun, times, "right") - np.searchsorted(ended, times, "right")
    return Curve("Requests on their way", "s", "", times.tolist(), open_then.tolist())


def _pieces(samples: Sequence[Sample]) -> Curve:
    """Pieces of output that came a second, over fiftieths of the run."""
    end_s = max(sample.ended_s for sample in samples)
    counts, edges = np.histogram([t for s in samples for t in s.pieces_s], 50, (0, end_s))
    rates = counts / (edges[1] - edges[0])
    middles = (edges[1:] + edges[:-1]) / 2
    return Curve("Pieces of output a second", "s", "", middles.tolist(), rates.tolist())


def _chart(curve: Curve) -> str:
    x_ticks, y_ticks = _ticks(max(curve.x)), _ticks(max(curve.y))
    x_most, y_most = max(*curve.x, x_ticks[-1]), max(*curve.y, y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + x / x_most * (_WIDTH - _LEFT - 14)
        return across, (_HEIGHT - _BOTTOM) - y / y_most * (_HEIGHT - _BOTTOM - 34)

    points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(*curve[3:], strict=True))
    parts = [f'<text class="title" x="{_LEFT}" y="18">{curve.title}</text>']
    for y in y_ticks:
        left, down = place(0, y)
        parts.append(f'<line x1="{left}" x2="{_WIDTH - 14}" y1="{down:.1f}" y2="{down:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{down + 4:.1f}" text-anchor="end">{y:,g}</text>')
    for x in x_ticks:
        across, bottom = place(x, 0)
        parts.append(
            f'<text x="{across:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{x:,g}</text>'
        )
    names = f'<text x="{_WIDTH - 14}" y="18" text-anchor="end">{_axes(curve)}</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{curve.title}">'
        f'{"".join(parts)}{names}<polyline points="{points}"/></svg>'
    )


def _ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most`, some four of them."""
    rough = max(most, 1e-9) / _NUM_TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(step * tick, 12) for tick in range(int(most / step) + 1)]


def _axes(curve: Curve) -> str:
    return f"{curve.y_name} over {curve.x_name}" if curve.y_name else f"over {curve.x_name}"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --curve: light-dark(#2563eb, #7aa7ff) }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto }}
h1, pre, main {{ padding: 0 1rem }}
main {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem }}
figure {{ margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .5rem }}
pre {{ overflow-x: auto }}
svg {{ width: 100%; height: auto; font-size: 11px; fill: currentColor }}
svg .title {{ font-size: 13px; font-weight: 600 }}
line {{ stroke: var(--line) }}
polyline {{ fill: none; stroke: var(--curve); stroke-width: 2; stroke-linejoin: round }}
</style>
<h1>{title}</h1><pre>{text}</pre><main>{charts}</main></html>
"""
