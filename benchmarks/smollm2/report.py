"""The results of the walkthrough: time and memory of each run, points of each policy, and sample texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.smollm2.annotator import Parts, agreement, parts_of, rule
from training.rlhf.core.messages import Messages
from training.rlhf.generation.evaluation import mean_and_error
from training.rlhf.judging.evaluating import RewardModelJudge

START = "sft"
POLICIES = ("SmolLM2", START, "rs", "ppo", "dpo")
TEXTS_SHOWN = 8  # number of test prompts whose answers the report shows
# The metrics whose curves are listed, by run.
CURVES = {
    "sft": ("loss", "heldout_loss"),
    "rm": ("loss", "heldout/accuracy"),
    "rs": ("loss",),
    "ppo": ("objective/scores", "objective/kl", "eos_rate", "lengths/response_mean"),
    "dpo": ("loss", "rewards/accuracies", "heldout/accuracy"),
}


@dataclass(frozen=True)
class Answers:
    """A policy's answers to one test prompt."""

    model: str
    messages: Messages
    texts: list[str]
    sampling: list[dict[str, Any]]

    @property
    def prompt(self) -> str:
        return self.messages[-1]["content"]


def write_report(
    out: Path,
    *,
    watched: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
    folders: Mapping[str, str],
    answers: Sequence[Answers],
    names: Mapping[str, str],
    facts: Mapping[str, Any],
) -> None:
    by_policy: dict[str, dict[str, Answers]] = {}
    for one in answers:
        by_policy.setdefault(names.get(one.model, one.model), {})[one.prompt] = one
    found = {
        "facts": dict(facts),
        "runs": {name: of_run(one) for name, one in watched.items()},
        "curves": {name: curves(name, rows) for name, rows in metrics.items() if name in CURVES},
        "policies": {name: of_policy(by_policy, name) for name in POLICIES if name in by_policy},
        "reward model on test answers": reward_model(folders.get("rm"), by_policy),
        "texts": texts(by_policy),
    }
    raw = {"watched": dict(watched), "metrics": dict(metrics), "answers": [vars(one) for one in answers]}
    (out / "report.json").write_text(json.dumps(found | {"raw": raw}, indent=1, default=str))
    (out / "report.md").write_text(markdown(found))


def of_run(one: Mapping[str, Any]) -> dict[str, Any]:
    run = one["run"]
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    result = run["result"]
    return {
        "kind": run["kind"],
        "seconds": round((ended - began).total_seconds()),
        "peak_gb": round(result.get("machine", {}).get("peak_bytes", 0) / 1e9, 2),
        "threads": result.get("machine", {}).get("threads"),
        "estimate": one["estimate"],
        "silent_seconds": round(one["silent_seconds"]),
        "silent_at": one["silent_at"],
        "metrics": {name: round(value, 4) for name, value in result.get("metrics", {}).items()},
        "counts": result.get("counts", {}),
    }


def curves(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Each listed metric as (step, value) pairs."""
    return {
        metric: [(row["step"], round(row["values"][metric], 4)) for row in rows if metric in row["values"]]
        for metric in CURVES[name]
    }


def of_policy(by_policy: Mapping[str, Mapping[str, Answers]], name: str) -> dict[str, Any]:
    mine, start = by_policy[name], by_policy.get(START, {})
    points = {prompt: mean_points(one) for prompt, one in mine.items()}
    parts = [parts_of(one.messages, text) for one in mine.values() for text in one.texts]
    mean, error = mean_and_error(list(points.values()))
    shared = [prompt for prompt in points if prompt in start]
    found: dict[str, Any] = {
        "points": rounded(mean, error),
        "prompts": len(points),
        **{part: round(mean_of(parts, part), 3) for part in Parts.__dataclass_fields__},
        "finished": round(finished_share(mine.values()), 3),
    }
    if name != START and len(shared) > 1:
        gains = [points[prompt] - mean_points(start[prompt]) for prompt in shared]
        found["gain"] = rounded(*mean_and_error(gains))
        found["better on"] = sum(gain > 0 for gain in gains)
    return found


def mean_points(one: Answers) -> float:
    return math.fsum(rule(one.messages, text) for text in one.texts) / len(one.texts)


def mean_of(parts: Sequence[Parts], name: str) -> float:
    return math.fsum(getattr(one, name) for one in parts) / len(parts)


def finished_share(answers: Any) -> float:
    ended = [bool(one.get("finished")) for each in answers for one in each.sampling]
    return sum(ended) / len(ended)


def rounded(mean: float, error: float) -> tuple[float, float]:
    return round(mean, 3), round(error, 3)


def reward_model(folder: str | None, by_policy: Mapping[str, Mapping[str, Answers]]) -> dict[str, Any]:
    """For each policy, how often the reward model and the rule agree on the order of two of the policy's
    answers to a test prompt."""
    if folder is None or not Path(folder).exists():
        return {}
    judge = RewardModelJudge.load(Path(folder))
    found: dict[str, Any] = {}
    scores = {
        name: judge.points([(one.messages, one.texts) for one in mine.values()])
        for name, mine in by_policy.items()
    }
    points = {
        name: [[rule(one.messages, text) for text in one.texts] for one in mine.values()]
        for name, mine in by_policy.items()
    }
    for name in by_policy:
        right, pairs = agreement(scores[name], points[name])
        found[name] = {"agreement": round(right / max(pairs, 1), 3), "pairs": pairs}
    return found


def texts(by_policy: Mapping[str, Mapping[str, Answers]]) -> list[dict[str, Any]]:
    """The first answer of each policy to the first test prompts. Answers are not selected by quality."""
    shown = list(by_policy.get(START, {}))[:TEXTS_SHOWN]
    return [
        {"prompt": prompt}
        | {name: by_policy[name][prompt].texts[0] for name in POLICIES if prompt in by_policy.get(name, {})}
        for prompt in shown
    ]


def markdown(found: Mapping[str, Any]) -> str:
    lines = [
        "| run | time | peak memory | estimate | longest time without visible progress |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {run['seconds']} s | {run['peak_gb']} GB | {run['estimate']} "
        f"| {run['silent_seconds']} s ({run['silent_at']}) |"
        for name, run in found["runs"].items()
    ]
    lines += ["", "| policy | points | gain | complete | finished | words | prompt words | repetition |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, one in found["policies"].items():
        gain = "{:+.2f} ± {:.2f}".format(*one["gain"]) if "gain" in one else ""
        parts = " | ".join(
            str(one[part]) for part in ("complete", "finished", "words", "about", "repetition")
        )
        lines.append(f"| {name} | {one['points'][0]:.2f} ± {one['points'][1]:.2f} | {gain} | {parts} |")
    lines += ["", "Reward model on test answers:", ""]
    lines += [f"- {name}: {one}" for name, one in found["reward model on test answers"].items()]
    lines += ["", "Curves:", ""]
    lines += [
        f"- {name} {metric}: " + ", ".join(f"{step}: {value}" for step, value in points)
        for name, run in found["curves"].items()
        for metric, points in run.items()
    ]
    for one in found["texts"]:
        lines += ["", f"**{one['prompt']}**", ""]
        lines += [f"- {name}: {json.dumps(text)}" for name, text in one.items() if name != "prompt"]
    return "\n".join(lines) + "\n"
