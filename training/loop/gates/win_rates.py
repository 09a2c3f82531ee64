"""The new policy's win rate on a gate's held-out prompts, by judges other than people."""

from __future__ import annotations

from collections.abc import Sequence

from training import demo_world
from training.registry.gates.preference import Preference, preference_of, scores_by_points
from training.runs.answers import AnsweredPrompt

Answers = Sequence[AnsweredPrompt]


def by_reward_model(new: Answers, current: Answers, *, level: float) -> Preference:
    """The comparison by the round's own reward model. The comparison is reported, but decides only automatic
    gates, because the new policy was trained on this reward model's scores."""
    return _compared(
        {_prompt(one): one["points"][0] for one in new},
        {_prompt(one): one["points"][0] for one in current},
        level,
    )


def by_gold(new: Answers, current: Answers, *, level: float) -> Preference | None:
    """The comparison by the demo world's true reward, or None if a prompt is not from the demo world."""
    if not all(demo_world.knows(one["messages"]) for one in (*new, *current)):
        return None
    return _compared(_gold_points(new), _gold_points(current), level)


def _gold_points(answers: Answers) -> dict[str, float]:
    return {_prompt(one): demo_world.gold_reward(one["messages"], one["responses"][0]) for one in answers}


def _prompt(one: AnsweredPrompt) -> str:
    return repr(one["messages"])


def _compared(new: dict[str, float], current: dict[str, float], level: float) -> Preference:
    scores = scores_by_points(new, current)
    return preference_of(scores, budget=max(1, len(scores)), level=level, ended=True)
