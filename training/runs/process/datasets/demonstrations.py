"""The demonstrations of a run."""

from __future__ import annotations

import json
from dataclasses import replace

from annotation.database.outages import through_outages
from storage import durable
from training import demo_world
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Demonstration
from training.rlhf.data.demonstration_files import Demonstrations, choose
from training.runs.folders import take_over_checkpoints
from training.runs.inputs import NOTHING_TO_MIX_IN, imported_demonstrations, snapshot_of
from training.runs.process.job import Job
from training.runs.recipes import run_recipes

IMPORTED = "demonstrations.json"  # file with the run's imported demonstrations, next to the checkpoints
NO_DEMONSTRATIONS = {
    "best_responses": "no ranking in the snapshot's training split contains a preference",
    "rewrites": "no ranking in the snapshot's training split contains a rewrite",
    "all": "no ranking in the snapshot's training split contains a rewrite or a preference",
}


def demonstrations_of(job: Job, recipe: run_recipes.SFTRecipe) -> Demonstrations:
    """Return the demonstrations of a fine-tuning run. Raises UnusableInput if there are none."""
    if recipe.demonstrations == "demo_world":
        made = demo_world.demonstrations(recipe.max_demonstrations, recipe.seed)
        return Demonstrations(made, {"from/demo_world": len(made)})
    if recipe.demonstrations == "imported":
        return _imported(job, recipe)
    found = job.demonstrations(recipe.demonstrations)
    if not found:
        raise UnusableInput(NO_DEMONSTRATIONS[recipe.demonstrations], FailureKind.DATA_EMPTY)
    return Demonstrations(choose(found, recipe.max_demonstrations, seed=recipe.seed), found.counts)


def _imported(job: Job, recipe: run_recipes.SFTRecipe) -> Demonstrations:
    """Return the imported demonstrations. An attempt with checkpoints uses the demonstrations of the previous
    attempt, because more might have been imported since then."""
    file = take_over_checkpoints(job.run, job.attempt) / IMPORTED
    if not file.exists():
        rows = imported_demonstrations(job.run.project).order_by("id").values_list("prompt__messages", "text")
        found = through_outages(lambda: list(rows.all()))
        if not found:
            raise UnusableInput(
                "the project has no imported demonstrations for training prompts", FailureKind.DATA_EMPTY
            )
        chosen = choose([Demonstration(*row) for row in found], recipe.max_demonstrations, seed=recipe.seed)
        durable.make_folders(file.parent)
        durable.write_text(file, json.dumps({"of": len(found), "demonstrations": chosen}))
    kept = json.loads(file.read_text())
    return Demonstrations(
        [Demonstration(*row) for row in kept["demonstrations"]], {"from/imported": kept["of"]}
    )


def mixed_in(job: Job) -> Demonstrations:
    """Return the demonstrations for `ptx_coefficient`: the best responses of the snapshot that the reward
    model was trained on. Raises UnusableInput if the reward model was not trained on a snapshot."""
    judge = job.reward_model
    if judge is None or judge.run is None or not snapshot_of(judge):
        raise UnusableInput(NOTHING_TO_MIX_IN)
    found = replace(job, run=judge.run).demonstrations("best_responses")
    if not found:
        raise UnusableInput(NO_DEMONSTRATIONS["best_responses"], FailureKind.DATA_EMPTY)
    return found
