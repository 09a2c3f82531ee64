"""Drawing helpers shared by the plots in docs/reward-learning.md, for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

# Each colour is readable on white and on black.
TEAL, ORANGE, VIOLET, GREY = "#0b8a8f", "#c4622d", "#7a5fd0", "#8a929b"
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #2b2f33 }
  .dim { fill: #666d75 } .rule { stroke: #d5d9de } .even { stroke: #8a929b; stroke-dasharray: 4 4 }
  .page { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e3e6ea } .dim { fill: #a2a9b1 } .rule { stroke: #3a4047 } .page { fill: #17191c }
  }"""


def draw(file: Path, parts: Sequence[str], width: int, height: int) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">\n'
        f'<style>{STYLE}</style>\n<rect class="page" width="{width}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def mark(kind: str, x: float, y: float, colour: str, *, hollow: bool = False) -> str:
    look = f'class="page" stroke="{colour}" stroke-width="2"' if hollow else f'fill="{colour}"'
    if kind == "circle":
        return f'<circle cx="{x}" cy="{y}" r="4" {look}/>'
    turned = f' transform="rotate(45 {x} {y})"' if kind == "diamond" else ""
    return f'<rect x="{x - 3.5}" y="{y - 3.5}" width="7" height="7" {look}{turned}/>'


def text(x: float, y: float, words: str, anchor: str = "start", *, dim: bool = False) -> str:
    look = ' class="dim"' if dim else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{look}>{escape(words)}</text>'
