"""docs/recipes.md, made from the recipes: every kind of run, its presets, and its settings with defaults and
bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from training.runs.recipes.catalog import catalog

HEAD = """# Recipes

*Generated from the recipes by `manage.py document_recipes`; a test keeps it current. Edit
`training/runs/recipes/` and `training/rlhf/core/recipes.py`.*

    manage.py launch_run KIND --project SLUG [--preset NAME] [--recipe FILE] [--set key=value …] [--wait]

or the page New run, which is drawn from the same definitions and says beforehand how long a run would take
and how much memory and disk (`POST /api/v1/runs/estimate`). A preset changes the settings named with it; a
recipe file wins over a preset, `--set` over both. What is set nowhere keeps its default.
"""
ESTIMATES = """## Estimates

Memory is arithmetic: weights, gradients, Adam's two moments, the activations of the widest micro-batch, keys
and values while answers are written, and torch itself; the peak is that of the run's largest stage
(`training/rlhf/planning/cost.py` has the formulas). The size of a model is read from its `config.json` and
the headers of its weights, or guessed from a name such as `Qwen3-0.6B`.

The disk holds the model that a run leaves and, until a `reward_model` run has ended, its checkpoints: where
all weights learn, up to eleven times the size of the model (`training/rlhf/planning/disk.py`).

Time is the arithmetic's too, scaled by what up to five earlier runs of the same kind from the same base model
took on this installation. Where there is none yet, a speed is assumed and said, and the range is three times
either way. Every run that succeeds records its machine and the most memory it held.
"""


def document() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD
    yield ESTIMATES
    for kind, entry in catalog().items():
        yield f"## `{kind}`: {entry['title']}\n\n{entry['description']}\n"
        if entry["inputs"]:
            yield f"Inputs: {', '.join(f'`{name}`' for name in entry['inputs'])}.\n"
        yield from _table(("preset", "for", "sets"), map(_preset, entry["presets"]))
        properties: Mapping[str, Any] = entry["schema"]["properties"]
        first = {name: properties[name] for name in entry["common"]}
        yield from _table(
            ("setting", "default", "allowed", "what it is"),
            (_setting(name, schema) for name, schema in {**first, **properties}.items()),
        )


def _preset(preset: Mapping[str, Any]) -> tuple[str, str, str]:
    changed = ", ".join(f"`{name}={json.dumps(value)}`" for name, value in preset["settings"].items())
    return f"`{preset['name']}`", preset["description"], changed or "nothing"


def _setting(name: str, schema: Mapping[str, Any]) -> tuple[str, str, str, str]:
    default = schema["default"]
    shown = "empty" if default in (None, "") else f"`{json.dumps(default).strip(chr(34))}`"
    return f"`{name}`", shown, _allowed(schema), schema["description"]


def _allowed(schema: Mapping[str, Any]) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    [inner] = options
    if "enum" in inner:
        return ", ".join(f"`{choice}`" for choice in inner["enum"])
    bounds = [
        f"{words} {inner[name]:g}"
        for name, words in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if name in inner
    ]
    return " ".join(bounds) or str(inner.get("type", "anything"))


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    yield ""
