"""The plots of a reward model's report as SVG: lines and dots, without a plotting library.

Colours follow the light or dark mode of the reader's system, and colour is never the only distinction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby

from training.rlhf.report.calibration import Reliability
from training.rlhf.report.resampling import Estimate
from training.rlhf.report.slices import Slice

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #2b2f33 }
  .dim { fill: #666d75 } .rule { stroke: #d5d9de } .even { stroke: #8a929b; stroke-dasharray: 4 4 }
  .mark { stroke: #0b6a6f; stroke-width: 2 } .dot { fill: #0b6a6f }
  .page { fill: #fff } .bar { fill: #c4cad1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e3e6ea } .dim { fill: #a2a9b1 } .rule { stroke: #3a4047 } .even { stroke: #7d858e }
    .mark { stroke: #56b5b3 } .dot { fill: #56b5b3 } .page { fill: #17191c } .bar { fill: #4a525b }
  }"""
PLOT, LEFT, TOP = 320, 56, 56  # px
LABELS, ROW, BAND = 200, 22, 320
NAMES = {
    "agreement": "agreement between annotators",
    "strength": "stated strength",
    "length": "length of the preferred response",
    "turns": "user turns",
}


def reliability_svg(of: Reliability, title: str) -> str:
    """Plot observed against predicted probabilities, with intervals and the diagonal for perfect calibration.

    Bars below the plot show the number of events.
    """
    height = TOP + PLOT + 110
    x = _onto(0, 1, LEFT, LEFT + PLOT)
    y = _onto(0, 1, TOP + PLOT, TOP)
    parts = [f'<line class="even" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            f'<line class="rule" x1="{x(0)}" y1="{y(tick)}" x2="{x(1)}" y2="{y(tick)}"/>',
            _text(x(0) - 8, y(tick) + 4, f"{tick:.0%}", "end", dim=True),
            _text(x(tick), y(0) + 18, f"{tick:.0%}", "middle", dim=True),
        ]
    most = max((one.events for one in of.bins), default=1)
    floor = TOP + PLOT + 86
    for one in of.bins:
        at, observed = x(one.predicted), one.observed
        if observed.low is not None and observed.high is not None:
            parts.append(
                f'<line class="mark" x1="{at}" y1="{y(observed.low)}" x2="{at}" y2="{y(observed.high)}"/>'
            )
        parts.append(f'<circle class="dot" cx="{at}" cy="{y(observed.value or 0)}" r="4"/>')
        tall = round(40 * one.events / most, 1)
        wide = x(one.high) - x(one.low) - 2
        parts.append(
            f'<rect class="bar" x="{x(one.low) + 1}" y="{floor - tall}" width="{wide}" height="{tall}"/>'
        )
    ece = f"ECE {_figure(of.ece)}; {of.ece_if_right:.3f} expected if perfectly calibrated"
    parts += [
        _text(x(0) - 8, floor, "events", "end", dim=True),
        _text(LEFT + PLOT, floor + 18, "predicted →", "end", dim=True),
        _text(16, 20, title),
        _text(16, 36, ece, dim=True),
    ]
    return _page(LEFT + PLOT + 24, height, parts, title)


def slices_svg(accuracy: Estimate, slices: Sequence[Slice]) -> str:
    """Plot each accuracy with its interval, one per row. The dashed line shows the accuracy on all pairs."""
    x = _onto(0, 1, LABELS, LABELS + BAND)
    rows = list(_rows(accuracy, slices))
    height = TOP + ROW * len(rows) + 40
    parts = [_text(16, 20, "Accuracy on pairs, by slice")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            f'<line class="rule" x1="{x(tick)}" y1="{TOP - 10}" x2="{x(tick)}" y2="{height - 34}"/>',
            _text(x(tick), height - 16, f"{tick:.0%}", "middle", dim=True),
        ]
    if accuracy.value is not None:
        whole = x(accuracy.value)
        parts.append(f'<line class="even" x1="{whole}" y1="{TOP - 10}" x2="{whole}" y2="{height - 34}"/>')
    for number, (label, found, note) in enumerate(rows):
        y = TOP + ROW * number + 6
        parts.append(_text(16, y + 4, label, dim=found is None))
        if found is None or found.value is None:
            continue
        if found.low is not None and found.high is not None:
            parts.append(f'<line class="mark" x1="{x(found.low)}" y1="{y}" x2="{x(found.high)}" y2="{y}"/>')
        parts.append(f'<circle class="dot" cx="{x(found.value)}" cy="{y}" r="4"/>')
        parts.append(_text(LABELS + BAND + 12, y + 4, f"{_figure(found)}{note}", dim=True))
    return _page(LABELS + BAND + 250, height, parts, "Accuracy by slice")


def _rows(accuracy: Estimate, slices: Sequence[Slice]) -> Iterator[tuple[str, Estimate | None, str]]:
    """Yield the label, the estimate and a note for each row of the plot. The estimate of a heading is
    None."""
    yield "all preferences", accuracy, ""
    for by, members in groupby(slices, key=lambda one: one.by):
        yield NAMES.get(by, by), None, ""
        for one in members:
            yield f"   {one.of.replace('_', ' ')}", one.accuracy, f", {one.pairs} pairs"


def _onto(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 1)


def _figure(of: Estimate) -> str:
    if of.value is None:
        return "none"
    bounds = f" ({of.low:.3f} to {of.high:.3f})" if of.low is not None and of.high is not None else ""
    return f"{of.value:.3f}{bounds}"


def _text(x: float, y: float, words: str, anchor: str = "start", *, dim: bool = False) -> str:
    look = ' class="dim"' if dim else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" xml:space="preserve"{look}>{escape(words)}</text>'


def _page(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(title)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *parts,
            "</svg>\n",
        ]
    )
