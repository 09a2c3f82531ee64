"""Generates docs/recipes.md from the recipes: run kinds, presets, and settings with their defaults and
bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from training.runs.recipes.catalog import catalog

HEAD = """# Recipes

*Generated from the recipes by `manage.py document_recipes`; a test checks that this file is current. Edit
`training/runs/recipes/` and the recipes in `training/rlhf/recipes/` instead.*

    manage.py launch_run KIND --project SLUG [--preset NAME] [--recipe FILE] [--set key=value …] [--wait]

Alternatively, use the New run page, which is generated from the same definitions. The New run page also
estimates how much time, memory and disk space a run would need (`POST /api/v1/runs/estimate`). A preset
changes the settings that are listed with the preset. A recipe file overrides the preset, and `--set`
overrides both. All other settings keep their defaults.
"""
ESTIMATES = """## Estimates

The memory estimate is the peak memory of the run's largest stage, on the worker that would take the run. A
run that can't fit is refused, and the error names settings with which it would fit. [Memory](memory.md)
explains the stages, the presets for devices and the refusal. The formulas are in `training/rlhf/planning/`. A
model's size is read from its `config.json` and the headers of its weight files. If these files are not
available, the size is guessed from a name such as `Qwen3-0.6B`.

The disk estimate covers the model that the run produces and the checkpoints. Checkpoints are deleted when the
run succeeds, or a week after it failed or was cancelled. A checkpoint contains the trained weights and two
moments per weight. Two checkpoints are kept, and a third is written before the oldest is deleted. With full
fine-tuning in float32, the checkpoints of `sft`, `rejection_sampling`, `dpo` and `rloo` therefore take about
nine times the size of the model, and those of `reward_model` up to eleven times, because they also contain
the best weights. PPO's checkpoints also contain the critic. A separate critic is about as large as the policy
(`training/rlhf/planning/disk.py`).

The time estimate is computed from the same sizes and then scaled to match earlier runs' durations. Up to five
earlier runs on this installation are used. These runs are of the same kind and started from the same base
model. Without earlier runs, the estimate assumes a computing speed, which is shown with the estimate. The
range is then from one third of the estimate to three times the estimate. Every successful run records its
machine and its peak memory. If a server generates the answers, the estimate includes neither the server's
time nor memory for keys and values. Earlier runs with a server are not used.
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
            ("setting", "default", "allowed", "description"),
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
            ("exclusiveMaximum", "to less than"),
        )
        if name in inner
    ]
    return " ".join(bounds) or str(inner.get("type", "anything"))


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    yield ""
