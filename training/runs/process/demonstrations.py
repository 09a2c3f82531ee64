"""The demonstrations of a run."""

from __future__ import annotations

from dataclasses import replace

from annotation.database.outages import through_outages
from training import demo_world
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.data.demonstration_files import Demonstrations, choose
from training.runs.inputs import NOTHING_TO_MIX_IN, snapshot_of
from training.runs.process.job import Job
from training.runs.recipes import run_recipes

NO_DEMONSTRATIONS = {
    "best_responses": "no ranking in the snapshot's training split prefers one response to another",
    "rewrites": "no ranking in the snapshot's training split has a rewrite",
    "all": "no ranking in the snapshot's training split has a rewrite or prefers one response to another",
}


def demonstrations_of(job: Job, recipe: run_recipes.SFTRecipe) -> Demonstrations:
    """The demonstrations of a fine-tuning run. Raises UnusableInput if there are none."""
    if recipe.demonstrations == "demo_world":
        made = demo_world.demonstrations(recipe.max_demonstrations, recipe.seed)
        return Demonstrations(made, {"from/demo_world": len(made)})
    found = job.demonstrations(recipe.demonstrations)
    if not found:
        raise UnusableInput(NO_DEMONSTRATIONS[recipe.demonstrations], FailureKind.DATA_EMPTY)
    return Demonstrations(choose(found, recipe.max_demonstrations, seed=recipe.seed), found.counts)


def mixed_in(job: Job) -> Demonstrations:
    """The demonstrations for `ptx_coefficient`: the best responses of the snapshot that the reward model was
    trained on. Raises UnusableInput if the reward model was not trained on a snapshot."""
    judge = job.reward_model
    if judge is None or not through_outages(lambda: snapshot_of(judge)):
        raise UnusableInput(NOTHING_TO_MIX_IN)
    assert judge.run is not None
    found = replace(job, run=judge.run).demonstrations("best_responses")
    if not found:
        raise UnusableInput(NO_DEMONSTRATIONS["best_responses"], FailureKind.DATA_EMPTY)
    return found
