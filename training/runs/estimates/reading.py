"""Determine how much data a run reads: the number of demonstrations, rankings or prompts, and their lengths.

Lengths are sampled from a few hundred of the project's newest texts. An estimate therefore takes no longer
for a large project than for a small project.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, pstdev

from annotation.models import DatasetSnapshot, Project, Prompt, Ranking, Response
from config.problems import FieldProblem, Problem
from training.models import TrainingRun
from training.rlhf.core.failures import UnusableInput
from training.rlhf.planning.cost import Data
from training.rlhf.recipes.parts.base import Recipe
from training.runs.inputs import by_name_or_id, imported_demonstrations
from training.runs.prompt_selection import matching, n_selected
from training.runs.recipes.run_recipes import DEMO_WORLD, UsesPrompts

Kind = TrainingRun.Kind
PROMPTS_LOOKED_AT = 200
CHARACTERS_PER_TOKEN = 4.0  # for English and common tokenizers; text in other scripts needs more tokens
TURN_TOKENS = 3  # tokens that the chat template adds to each turn
# Lengths of 2,000 demo-world demonstrations in tokens, as counted by the demo world's tokenizer. The standard
# deviations of the prompts' lengths and of the responses' lengths are nearly equal.
DEMO_PROMPT, DEMO_RESPONSE, DEMO_LONGEST, DEMO_DEVIATION = 26.0, 32.0, 124.0, 14.0
# The assumed response length, in tokens, in a project without responses.
USUAL_RESPONSE = 100.0
COUNTED = {
    Kind.SFT: "demonstrations",
    Kind.REWARD_MODEL: "rankings",
    Kind.DPO: "rankings",
    Kind.REJECTION_SAMPLING: "prompts",
    Kind.SAMPLE: "prompts_answered",
    Kind.EVALUATE: "prompts",
}


def data_of(
    *,
    project: Project,
    kind: str,
    recipe: Recipe,
    snapshot: str = "",
    counts: Mapping[str, int] | None = None,
) -> Data:
    """Return the data that a run reads. For a finished run, `counts` contains its recorded counts, which are
    used instead of the project's current numbers. Raises Problem if the snapshot does not exist."""
    if kind == Kind.SFT and getattr(recipe, "demonstrations", "") == DEMO_WORLD.replace("-", "_"):
        items = int(getattr(recipe, "max_demonstrations", 0))
        return Data(
            (counts or {}).get("demonstrations", items),
            DEMO_PROMPT,
            DEMO_RESPONSE,
            DEMO_LONGEST,
            prompt_deviation=DEMO_DEVIATION,
            response_deviation=DEMO_DEVIATION,
        )
    prompts, responses, per_prompt = _lengths(project)
    # With varied_share, the run also reads prompts on which it does not train.
    known = (counts or {}).get("prompts_measured") or (counts or {}).get(COUNTED.get(Kind(kind), ""), 0)
    return Data(
        items=known or _items(project, kind, recipe, snapshot),
        prompt=fmean(prompts),
        response=fmean(responses),
        longest=max(prompts) + max(responses),
        responses=per_prompt,
        prompt_deviation=pstdev(prompts),
        response_deviation=pstdev(responses),
    )


def _items(project: Project, kind: str, recipe: Recipe, snapshot: str) -> int:
    if getattr(recipe, "demonstrations", "") == "imported":
        return min(imported_demonstrations(project).count(), int(getattr(recipe, "max_demonstrations", 0)))
    if kind in {Kind.SFT, Kind.REWARD_MODEL, Kind.DPO}:
        only_rewrites = getattr(recipe, "demonstrations", "") == "rewrites"
        if snapshot:
            chosen = DatasetSnapshot.objects.filter(by_name_or_id(snapshot), project=project).first()
            if chosen is None:
                reason = f"The project has no snapshot {snapshot!r}."
                raise Problem(reason, errors=[FieldProblem("inputs.snapshot", reason)])
            rankings = chosen.card.get("rewrites", 0) if only_rewrites else chosen.rows
        elif only_rewrites:
            rankings = Ranking.objects.counted().filter(project=project, rewrite__gt="").count()
        else:
            rankings = Ranking.objects.counted().with_order().filter(project=project).count()
        return min(rankings, int(getattr(recipe, "max_demonstrations", rankings)))
    if not isinstance(recipe, UsesPrompts):
        return 0
    prompts = matching(project=project, split=recipe.used_split, selection=recipe.selection)
    try:
        return n_selected(prompts, selection=recipe.selection, limit=recipe.max_prompts)
    except UnusableInput:
        return 0  # the launch refuses this selection


def _lengths(project: Project) -> tuple[list[float], list[float], float]:
    """Return the numbers of tokens in the project's newest prompts and in their responses, and the number of
    responses per prompt. Neither list is empty."""
    rows = list(
        Prompt.objects.filter(project=project)
        .order_by("-id")
        .values_list("id", "messages")[:PROMPTS_LOOKED_AT]
    )
    prompts = [
        _tokens(sum(len(m["content"]) for m in messages), turns=len(messages) + 1) for _, messages in rows
    ]
    found = Response.objects.filter(prompt__in=[id for id, _ in rows]).values_list("characters", "prompt")
    responses = [(_tokens(characters, turns=1), prompt) for characters, prompt in found]
    lengths = [length for length, _ in responses] or [USUAL_RESPONSE]
    answered = len({prompt for _, prompt in responses}) or 1
    return prompts or [0.0], lengths, max(1.0, len(responses) / answered)


def _tokens(characters: int, *, turns: int) -> float:
    return characters / CHARACTERS_PER_TOKEN + turns * TURN_TOKENS
