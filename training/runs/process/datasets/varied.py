"""Choose a run's prompts: those whose answers have the most varied rewards (`varied_share`)."""

from __future__ import annotations

import json
from pathlib import Path

from storage import durable
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.recipes.parts.varied import ChoosesVaried
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.selection.varied import Rewards, complete_batches, measure, most_varied, spreads_of
from training.runs.folders import REWARDS
from training.runs.process.job import Job


def varied_prompts(job: Job, folder: Path, prompts: list[Messages]) -> list[Messages]:
    """Return the prompts to train on, in their given order, and add their counts to the job's counts. The
    rewards of each batch are stored in `folder`, so a killed run repeats only the unfinished batch. Raises
    UnusableInput if, for every prompt, all answers have the same reward."""
    recipe = job.recipe
    if not isinstance(recipe, ChoosesVaried) or recipe.varied_share == 1:
        return prompts
    assert isinstance(recipe, RolloutConfig | RejectionSamplingConfig)
    file = folder / REWARDS
    known = complete_batches(_read(file))
    durable.make_folders(folder)
    durable.write_text(file, "".join(_line(rewards) for rewards in known))  # drops an incomplete batch

    def keep(rewards: Rewards) -> None:
        with file.open("a") as stream:
            stream.writelines(map(_line, rewards))

    measured = measure(
        recipe,
        samples=recipe.varied_samples,
        policy=job.policy_source,
        reward_models=job.reward_models,
        prompts=prompts,
        report=job.report,
        known=known,
        keep=keep,
    )
    spreads = spreads_of(measured.rewards)
    chosen = most_varied(spreads, recipe.varied_share)
    without = int((spreads == 0).sum())
    if not chosen:
        raise UnusableInput(
            f"the {recipe.varied_samples} answers to each of the {len(spreads)} prompts all have the same "
            "reward. Raise varied_samples or temperature, or set varied_share to 1",
            FailureKind.NOTHING_KEPT,
        )
    job.counts.update(
        prompts_measured=len(spreads),
        prompts_without_spread=without,
        prompts_less_varied=len(spreads) - without - len(chosen),
        prompts_refused=measured.refused,
    )
    return [measured.messages[index] for index in chosen]


def _read(file: Path) -> Rewards:
    """Return the rewards in the file, up to a line that was not completely written."""
    rewards: Rewards = []
    for line in file.read_text().splitlines(keepends=True) if file.exists() else ():
        if not line.endswith("\n"):
            break
        rewards.append(json.loads(line))
    return rewards


def _line(rewards: list[float]) -> str:
    return json.dumps(rewards) + "\n"
