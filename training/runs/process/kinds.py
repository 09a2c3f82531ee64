"""Perform the work of each run kind. Each function prepares the inputs as paths and plain data, calls the
training loop, and collects the results.

This module imports torch and must therefore be imported only by the training process.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import torch

from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.database.outages import through_outages
from training import demo_world
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.core.reporter import Reporter
from training.rlhf.generation import evaluation, sampling
from training.rlhf.models.loading import Loaded, ModelSource, load_reward_model
from training.rlhf.policy import ppo, rejection_sampling, sft
from training.rlhf.reward import reward_model, scoring
from training.rlhf.reward.beliefs import score_with_spread
from training.rlhf.reward.uncertainty import load_uncertainty
from training.runs.complete import NewTasks, Outcome
from training.runs.estimates.machine import used_machine
from training.runs.folders import take_over_checkpoints
from training.runs.inputs import unusable_models
from training.runs.model_files import verify_models
from training.runs.process.job import Job
from training.runs.process.prompts import draw_prompts, prompts_to_sample
from training.runs.recipes import catalog, run_recipes
from training.runs.threads import cpu_threads

Kind = TrainingRun.Kind
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def perform(run: TrainingRun, *, attempt: int, work: Path, report: Reporter) -> Outcome:
    """Do the run's work. The results are registered later, by `complete_run`, in the transaction that records
    the success."""
    job = Job(run, attempt, catalog.parse_recipe(kind=run.kind, settings=run.recipe), work, report)
    verify_models(job.policy_source, *(model.folder for model in job.models.values()))
    for _, refused in unusable_models(kind=run.kind, recipe=job.recipe, models=job.models):
        raise refused
    torch.set_num_threads(cpu_threads(job.policy_source))
    return replace(PERFORM[run.kind](job), machine=used_machine())


def perform_sft(job: Job) -> Outcome:
    recipe = cast(run_recipes.SFTRecipe, job.recipe)
    demonstrations = _demonstrations(job, recipe)
    source: ModelSource = job.policy_source
    if source == run_recipes.DEMO_WORLD:
        tokenizer = demo_world.build_tokenizer()
        source = Loaded(demo_world.build_policy(tokenizer, seed=recipe.seed), tokenizer)
    result = sft.train(
        recipe, base_model=source, demonstrations=demonstrations, out_dir=job.out_dir, report=job.report
    )
    metrics = {"loss": result.loss}
    if result.heldout_loss is not None:
        metrics["heldout_loss"] = result.heldout_loss
    counts = {"demonstrations": len(demonstrations), "skipped": result.skipped, "cut": result.cut}
    return Outcome(metrics, counts, job.new_model(ModelVersion.Kind.POLICY))


def perform_reward_model(job: Job) -> Outcome:
    rankings = job.rankings()

    def trained(checkpoints: Path) -> reward_model.RewardModelResult:
        return reward_model.train(
            cast(run_recipes.RewardModelRecipe, job.recipe),
            base_model=job.policy_source,
            rankings=rankings,
            out_dir=job.out_dir,
            checkpoints=checkpoints,
            report=job.report,
        )

    result = _resuming(job, trained)
    left_out = {f"left_out/{reason}": n for reason, n in (rankings.left_out | result.left_out).items()}
    counts = {
        **{"rankings": len(rankings), "prompts_cut": result.prompts_cut, "steps": result.steps},
        "control_tokens_removed": result.control_tokens_removed,
        **left_out,
        **result.repeats,
    }
    return Outcome(result.metrics, counts, job.new_model(ModelVersion.Kind.REWARD_MODEL))


def perform_rejection_sampling(job: Job) -> Outcome:
    recipe = cast(run_recipes.RejectionSamplingRecipe, job.recipe)
    prompts = _training_prompts(job, recipe.max_prompts)
    result = rejection_sampling.train(
        recipe,
        policy=job.policy_source,
        reward_model=_reward_model_folder(job),
        prompts=prompts,
        out_dir=job.out_dir,
        report=job.report,
    )
    metrics = {
        "loss": result.loss,
        "reward/mean_before": result.reward_mean,
        "reward/best_of_n_before": result.reward_best,
    }
    if result.heldout_loss is not None:
        metrics["heldout_loss"] = result.heldout_loss
    counts = {"prompts": result.prompts, "prompts_cut": result.prompts_cut, "kept": result.kept}
    return Outcome(metrics, counts, job.new_model(ModelVersion.Kind.POLICY))


def perform_ppo(job: Job) -> Outcome:
    recipe = cast(run_recipes.PPORecipe, job.recipe)
    prompts = _training_prompts(job, recipe.max_prompts)
    demonstrations = _mixed_in(job) if recipe.ptx_coefficient > 0 else []

    def trained(checkpoints: Path) -> ppo.PPOResult:
        return ppo.train(
            recipe,
            policy=job.policy_source,
            reward_model=_reward_model_folder(job),
            prompts=prompts,
            demonstrations=demonstrations,
            out_dir=job.out_dir,
            checkpoints=checkpoints,
            report=job.report,
        )

    result = _resuming(job, trained)
    counts = {
        "prompts": len(prompts),
        "prompts_cut": result.prompts_cut,
        "prompts_refused": result.prompts_refused,
    }
    return Outcome(result.metrics, counts, job.new_model(ModelVersion.Kind.POLICY))


def perform_sample(job: Job) -> Outcome:
    recipe = cast(run_recipes.SampleRecipe, job.recipe)
    prompts = prompts_to_sample(project=job.run.project, limit=recipe.max_prompts, seed=recipe.seed)
    sampled = sampling.sample(recipe, policy=job.policy_source, prompts=prompts, report=job.report)
    name = job.policy.name if job.parent and job.policy else job.policy_source
    drafts = []
    for answers in sampled.prompts:
        # Identical responses are treated as one response, because none of them can be preferred to another.
        distinct = dict(answers.responses)
        if len(distinct) >= 2:
            responses = [ResponseDraft(text, name, settings) for text, settings in distinct.items()]
            drafts.append(TaskDraft(messages=answers.messages, responses=responses))
    counts = {
        "prompts_answered": len(sampled.prompts),
        "prompts_cut": sampled.cut,
        "prompts_with_equal_responses": len(sampled.prompts) - len(drafts),
    }
    return Outcome(counts=counts, tasks=NewTasks(drafts, recipe.overlap, recipe.priority))


def perform_evaluate(job: Job) -> Outcome:
    recipe = cast(run_recipes.EvaluateRecipe, job.recipe)
    split = None if recipe.split == "all" else recipe.split
    drawn = draw_prompts(project=job.run.project, split=split, limit=recipe.max_prompts, seed=recipe.seed)
    # The project can also have imported prompts, which the gold judge can't score.
    prompts = [messages for messages in drawn if recipe.judge != "gold" or demo_world.knows(messages)]
    if not prompts:
        raise UnusableInput(
            "none of the project's prompts is from the demo world, and the gold judge can't score other "
            "prompts",
            FailureKind.GOLD_CANNOT_JUDGE,
        )
    result = evaluation.evaluate(
        recipe, policy=job.policy_source, prompts=prompts, judge=_judge(job, recipe.judge), report=job.report
    )
    metrics = {f"{recipe.judge}/{name}": value for name, value in result.metrics().items()}
    if recipe.judge == "reward_model":
        metrics |= _uncertainty(job, result.rows)
    counts = {"prompts": result.n, "prompts_cut": result.cut, "prompts_not_judged": len(drawn) - len(prompts)}
    return Outcome(metrics, counts)


PERFORM: dict[str, Callable[[Job], Outcome]] = {
    Kind.SFT: perform_sft,
    Kind.REWARD_MODEL: perform_reward_model,
    Kind.REJECTION_SAMPLING: perform_rejection_sampling,
    Kind.PPO: perform_ppo,
    Kind.SAMPLE: perform_sample,
    Kind.EVALUATE: perform_evaluate,
}


def _resuming(job: Job, train: Callable[[Path], Result]) -> Result:
    """Call `train` with the folder of the run's checkpoints."""
    checkpoints = take_over_checkpoints(job.run, job.attempt)
    try:
        return train(checkpoints)
    except CheckpointRefused as refused:
        # The checkpoints are damaged, or were written by another version of Rankloop that read the data
        # differently. Training can still start from the beginning.
        logger.warning("Training starts from the beginning, without the checkpoints: %s", refused)
        shutil.rmtree(checkpoints)
        return train(checkpoints)


def _demonstrations(job: Job, recipe: run_recipes.SFTRecipe) -> Sequence[Demonstration]:
    if recipe.demonstrations == "demo_world":
        return demo_world.demonstrations(recipe.max_demonstrations, recipe.seed)
    return _best_responses(job)[: recipe.max_demonstrations]


def _mixed_in(job: Job) -> Sequence[Demonstration]:
    """The demonstrations for `ptx_coefficient`: the best responses of the snapshot that the reward model was
    trained on. Raises UnusableInput if the reward model was not trained on a snapshot."""
    run = through_outages(lambda: job.reward_model.run if job.reward_model else None)
    if run is None or not run.inputs.get("snapshot"):
        raise UnusableInput(
            "ptx_coefficient mixes in the best responses of the reward model's snapshot, but this reward "
            "model was not trained on a snapshot. Set ptx_coefficient to 0, or choose another reward model"
        )
    return _best_responses(replace(job, run=run))


def _best_responses(job: Job) -> list[Demonstration]:
    """The best response of each ranking in the run's snapshot, from the training split."""
    best = [
        Demonstration(ranking.messages, ranking.responses[ranking.tiers[0][0]])
        for ranking in job.rankings()
        if ranking.split == "train" and not ranking.all_tied
    ]
    if not best:
        raise UnusableInput(
            "no ranking in the snapshot's training split prefers one response to another",
            FailureKind.DATA_EMPTY,
        )
    return best


def _training_prompts(job: Job, limit: int) -> list[Messages]:
    return draw_prompts(project=job.run.project, split="train", limit=limit, seed=job.recipe.seed)


def _reward_model_folder(job: Job) -> Path:
    if job.reward_model is None:
        raise ValueError("the run has no reward model among its inputs")
    return job.reward_model.folder


def _judge(job: Job, name: str) -> Callable[[Messages, str], float]:
    if name == "gold":
        return demo_world.gold_reward
    model, tokenizer = load_reward_model(_reward_model_folder(job))

    def score(messages: Messages, text: str) -> float:
        return float(scoring.score(model, tokenizer, [(messages, [text])])[0][0])

    return score


def _uncertainty(job: Job, judged: Sequence[evaluation.EvaluatedPrompt]) -> dict[str, float]:
    """The mean uncertainty of the reward model's scores for the answers, as a metric. Empty if the reward
    model can't estimate uncertainty."""
    folder = _reward_model_folder(job)
    uncertainty = load_uncertainty(folder)
    if uncertainty is None:
        return {}
    items = [(one.messages, one.responses) for one in judged]
    scored = score_with_spread(*load_reward_model(folder), items, uncertainty)
    return {"reward_model/spread": float(torch.cat([spread for _, spread in scored]).mean())}
