"""Writes docs/reward-learning.md and its plots from the data of `benchmarks.learning`."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning import real_page
from benchmarks.learning.drawing import ORANGE, TEAL, VIOLET, draw, mark, text

PANEL, TALL, LEFT, GAP, TOP = 300, 220, 52, 70, 56  # px
LOOKS = {
    "clean": (TEAL, "", "circle"),
    "clean, ensemble of heads": (TEAL, "5 4", "square"),
    "noisy": (ORANGE, "", "circle"),
    "noisy, ensemble of heads": (ORANGE, "5 4", "square"),
    "noisy, CrowdBT": (VIOLET, "", "diamond"),
}


def figures_in(docs: Path) -> dict[str, Any]:
    kept = docs / "reward-learning.json"
    return dict(json.loads(kept.read_text())) if kept.exists() else {}


def write(figures: Mapping[str, Any], docs: Path) -> None:
    parts = [HEAD]
    if "world" in figures:
        draw(docs / "images" / "learning-world.svg", *curves(figures["world"]["points"]))
        parts.append(world_text(figures["world"]))
    trunks = {kind: figures[kind] for kind in real_page.TRUNKS if kind in figures}
    if trunks:
        draw(docs / "images" / "learning-real.svg", *real_page.dots(trunks))
        parts.append(real_page.text_of(trunks))
    (docs / "reward-learning.md").write_text("\n".join(parts))


HEAD = """# How well reward models learn

Created by `python -m benchmarks.learning` from the data in [reward-learning.json](reward-learning.json), on
one thread of the machine in [measurements.md](measurements.md). Seconds are processor seconds. The models are
tiny to save time: the results show how methods compare, not how good a reward model can be.
"""


def world_text(world: Mapping[str, Any]) -> str:
    points, recipe = world["points"], world["recipe"]
    seeds = sorted({point["seed"] for point in points})
    lines = [
        "## In the demo world, by the number of comparisons",
        "",
        "![Accuracy and ECE against the number of comparisons](images/learning-world.svg)",
        "",
        "Each prompt has four answers, in styles drawn as in the demonstrations. There are ten annotators. "
        "`clean`: all rank by gold. `noisy`: two of the ten order at random. Seeds: "
        f"{', '.join(map(str, seeds))}, each with its own prompts, answers, order and head; bands and "
        "brackets are the lowest and highest seed. The trunk is a policy of 0.6M weights after a short SFT. "
        f"Training takes {recipe['epochs']} epochs with {recipe['batch_rankings']} rankings per step, keeps "
        "the last weights, and uses defaults otherwise. Evaluation uses all pairs that gold orders in "
        f"{world['fresh']} fresh rankings of other prompts. P(i ≻ j) is the probability for an annotator "
        "without noise, so doubt that isn't justified also raises the ECE. The ensemble consists of small "
        "heads on the same trunk (`uncertainty=heads`). Its mean is the score, so its probabilities differ "
        "but hardly its order. `CrowdBT` is `annotators=crowd_bt`.",
        "",
        "| annotators | rankings | comparisons | accuracy | ECE | log loss | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, of_way in _by(points, "way").items():
        for count, same in _by(of_way, "rankings").items():
            cells = [_band(same, name) for name in ("accuracy", "ece", "log_loss")]
            pairs = round(statistics.mean(p["comparisons"] for p in same))
            seconds = statistics.mean(p["seconds"] for p in same)
            lines.append(f"| {way} | {count} | {pairs} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join([*lines, ""])


def curves(points: Sequence[Mapping[str, Any]]) -> tuple[list[str], int, int]:
    parts = []
    counts = [p["comparisons"] for p in points]
    first, wide = math.log(min(counts)), math.log(max(counts) / min(counts))
    ways = list(_by(points, "way"))
    for panel, (name, title) in enumerate((("accuracy", "Accuracy on fresh pairs"), ("ece", "ECE"))):
        left = LEFT + panel * (PANEL + GAP)
        values = [p[name] for p in points]
        floor = math.floor(min(values) * 20) / 20
        roof = math.ceil(max(values) * 20) / 20

        def y(value: float, floor: float = floor, roof: float = roof) -> float:
            return round(TOP + TALL - (value - floor) / (roof - floor) * TALL, 1)

        def x(count: float, left: int = left) -> float:
            return round(left + (math.log(count) - first) / wide * PANEL, 1)

        parts.append(text(left, 22, title))
        step = 0.05 if roof - floor < 0.4 else 0.1
        for n in range(round((roof - floor) / step) + 1):
            tick = floor + n * step
            parts.append(
                f'<line class="rule" x1="{left}" y1="{y(tick)}" x2="{left + PANEL}" y2="{y(tick)}"/>'
                + text(left - 8, y(tick) + 4, f"{tick:.2f}", "end", dim=True)
            )
        for way in ways:
            if name == "accuracy" and "ensemble" in way:
                continue  # same scores
            of_way = [p for p in points if p["way"] == way]
            line = []
            for _, same in _by(of_way, "rankings").items():
                at = x(statistics.mean(p["comparisons"] for p in same))
                found = [p[name] for p in same]
                line.append((at, y(statistics.mean(found)), y(max(found)), y(min(found))))
            colour, dashes, shape = LOOKS[way]
            edge = [(a, top) for a, _, top, _ in line] + [(a, low) for a, _, _, low in reversed(line)]
            parts.append(
                f'<polygon points="{" ".join(f"{a},{b}" for a, b in edge)}" fill="{colour}" opacity="0.14"/>'
            )
            path = " ".join(f"{a},{b}" for a, b, _, _ in line)
            dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
            )
            parts += [mark(shape, a, b, colour) for a, b, _, _ in line]
        for count in sorted(
            {round(statistics.mean(p["comparisons"] for p in s)) for s in _by(points, "rankings").values()}
        ):
            parts.append(text(x(count), TOP + TALL + 18, str(count), "middle", dim=True))
        parts.append(
            text(left + PANEL, TOP + TALL + 36, "comparisons, on a logarithmic scale", "end", dim=True)
        )
    bottom = TOP + TALL + 62
    for n, way in enumerate(ways):
        colour, dashes, shape = LOOKS[way]
        at, below = LEFT + (n % 3) * 230, bottom + (n // 3) * 20
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(
            f'<line x1="{at}" y1="{below - 4}" x2="{at + 26}" y2="{below - 4}" stroke="{colour}" '
            f'stroke-width="2"{dashed}/>'
            + mark(shape, at + 13, below - 4, colour)
            + text(at + 34, below, way)
        )
    return parts, LEFT + 2 * PANEL + GAP + 24, bottom + 20 * ((len(ways) - 1) // 3) + 16


def _by(points: Sequence[Mapping[str, Any]], key: str) -> dict[Any, list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for point in points:
        found[point[key]].append(point)
    return found


def _band(points: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [point[name] for point in points]
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
