"""Perform the work of each run kind. Each function prepares the inputs as paths and plain data, calls the
training loop, and collects the results.

This module imports torch and must therefore be imported only by the training process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import torch

from annotation.content.drafts import ResponseDraft, TaskDraft
from config.problems import Problem
from training import demo_world
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.reporter import Reporter
from training.rlhf.generation import evaluation, sampling
from training.rlhf.generation.server.access import granting
from training.rlhf.judging.evaluating import RewardModelJudge
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
from training.rlhf.reward import reward_model
from training.rlhf.rollouts.on_policy import OnPolicyResult
from training.runs.answers import ANSWERS, AnsweredPrompt, write_answers
from training.runs.candidates import CANDIDATES, finished_file
from training.runs.complete import NewTasks, Outcome
from training.runs.estimates.machine import used_machine
from training.runs.generation_servers import generation_access, refused_server
from training.runs.inputs import unusable_models
from training.runs.model_files import verify_models
from training.runs.process.datasets.demonstrations import demonstrations_of, mixed_in
from training.runs.process.datasets.prompts import counted, drawn_prompts, kept_prompts, prompts_to_sample
from training.runs.process.devices import keep_device
from training.runs.process.earlier_checkpoints import resumed
from training.runs.process.group import Group
from training.runs.process.job import Job
from training.runs.recipes import catalog, run_recipes
from training.runs.threads import cpu_threads

Kind = TrainingRun.Kind


def perform(
    run: TrainingRun, *, attempt: int, work: Path, report: Reporter, group: Group | None = None
) -> Outcome:
    """Do the run's work. The results are registered later, by `complete_run`, in the transaction that records
    the success."""
    try:
        recipe = catalog.stored_recipe(kind=run.kind, settings=run.recipe)
    except Problem as problem:
        raise UnusableInput(str(problem)) from problem
    keep_device(run, attempt, recipe)
    job = Job(run, attempt, recipe, work, report, group or Group())
    verify_models(job.policy_source, *(model.folder for model in job.models.values()))
    if reason := refused_server(
        job.recipe
    ):  # the operator might have changed the list of allowed servers since the launch
        raise UnusableInput(reason, FailureKind.GENERATION_SERVER)
    for _, refused in unusable_models(kind=run.kind, recipe=job.recipe, models=job.models):
        raise refused
    torch.set_num_threads(cpu_threads(job.policy_source, processes=job.group.count))
    with granting(generation_access()):
        outcome = PERFORM[run.kind](job)
    return replace(
        outcome, counts={**outcome.counts, **job.counts}, machine=used_machine(processes=job.group.count)
    )


def perform_sft(job: Job) -> Outcome:
    recipe = cast(run_recipes.SFTRecipe, job.recipe)
    demonstrations = demonstrations_of(job, recipe)

    def trained(checkpoints: Path) -> sft.SFTResult:
        source: ModelSource = job.policy_source
        if source == run_recipes.DEMO_WORLD:
            # The new model depends only on the seed, so a resumed run starts from the same weights.
            tokenizer = demo_world.build_tokenizer()
            source = Loaded(demo_world.build_policy(tokenizer, seed=recipe.seed), tokenizer)
        return job.in_all_processes(
            partial(sft.train, recipe),
            base_model=source,
            demonstrations=demonstrations,
            out_dir=job.out_dir,
            checkpoints=checkpoints,
        )

    result = resumed(job, trained)
    metrics = {"loss": result.loss, **result.distance}
    if result.heldout_loss is not None:
        metrics["heldout_loss"] = result.heldout_loss
    left_out = Counter({f"left_out/{reason}": number for reason, number in result.left_out.items()})
    left_out["left_out/above_limit"] = sum(
        number for name, number in demonstrations.counts.items() if name.startswith("from/")
    ) - len(demonstrations)
    counts = {
        **{"demonstrations": result.rows, "prompts_cut": result.prompts_cut, "steps": result.steps},
        "trained_parameters": result.trained_parameters,
        **(left_out + Counter(demonstrations.counts)),
    }
    return Outcome(
        metrics, counts, job.new_model(ModelVersion.Kind.POLICY), trained_weights=result.trained_weights
    )


def perform_reward_model(job: Job) -> Outcome:
    rankings = job.rankings()
    result = resumed(
        job,
        lambda checkpoints: job.in_all_processes(
            partial(reward_model.train, cast(run_recipes.RewardModelRecipe, job.recipe)),
            base_model=job.policy_source,
            rankings=rankings,
            out_dir=job.out_dir,
            checkpoints=checkpoints,
        ),
    )
    left_out = {f"left_out/{reason}": n for reason, n in (rankings.left_out | result.left_out).items()}
    counts = {
        **{"rankings": len(rankings), "prompts_cut": result.prompts_cut, "steps": result.steps},
        "control_tokens_removed": result.control_tokens_removed,
        "trained_parameters": result.trained_parameters,
        **left_out,
        **result.repeats,
    }
    model = job.new_model(ModelVersion.Kind.REWARD_MODEL)
    return Outcome(result.metrics, counts, model, trained_weights=result.trained_weights)


def perform_rejection_sampling(job: Job) -> Outcome:
    recipe = cast(run_recipes.RejectionSamplingRecipe, job.recipe)
    prompts = kept_prompts(job)
    candidates = job.work / CANDIDATES

    def trained(checkpoints: Path) -> rejection_sampling.RejectionSamplingResult:
        return job.in_all_processes(
            partial(rejection_sampling.train, recipe),
            policy=job.policy_source,
            reward_model=job.reward_models,
            prompts=prompts,
            out_dir=job.out_dir,
            gold=demo_world.gold_reward if all(map(demo_world.knows, prompts)) else None,
            candidates=candidates,
            checkpoints=checkpoints,
        )

    result = resumed(job, trained)
    metrics = {
        "loss": result.loss,
        "reward/mean_before": result.reward_mean,
        "reward/best_of_n_before": result.reward_best,
        **result.distance,
    }
    if result.heldout_loss is not None:
        metrics["heldout_loss"] = result.heldout_loss
    if result.gold_best_of:
        metrics["gold/mean_before"] = result.gold_best_of[1]
        metrics["gold/best_of_n_before"] = result.gold_best_of[recipe.samples_per_prompt]
    counts = {
        "prompts": result.prompts,
        "prompts_cut": result.prompts_cut,
        "prompts_refused": result.prompts_refused,
        "prompts_unfinished": result.prompts_unfinished,
        "kept": result.kept,
        "rounds": result.rounds,
        "steps": result.steps,
        "trained_parameters": result.trained_parameters,
    }
    model = job.new_model(ModelVersion.Kind.POLICY)
    return Outcome(
        metrics,
        counts,
        model,
        candidates=finished_file(candidates),
        trained_weights=result.trained_weights,
    )


def perform_rloo(job: Job) -> Outcome:
    return _perform_on_policy(job, partial(rloo.train, cast(run_recipes.RLOORecipe, job.recipe)))


def perform_ppo(job: Job) -> Outcome:
    recipe = cast(run_recipes.PPORecipe, job.recipe)
    demonstrations = mixed_in(job) if recipe.ptx_coefficient > 0 else []
    return _perform_on_policy(job, partial(ppo.train, recipe, demonstrations=demonstrations))


def _perform_on_policy(job: Job, train: Callable[..., OnPolicyResult]) -> Outcome:
    prompts = kept_prompts(job)
    result = resumed(
        job,
        lambda checkpoints: job.in_all_processes(
            train,
            policy=job.policy_source,
            reward_model=job.reward_models,
            prompts=prompts,
            out_dir=job.out_dir,
            checkpoints=checkpoints,
        ),
    )
    counts = {
        "prompts": len(prompts),
        "prompts_cut": result.prompts_cut,
        "prompts_refused": result.prompts_refused,
        "trained_parameters": result.trained_parameters,
    }
    return Outcome(
        result.metrics,
        counts,
        job.new_model(ModelVersion.Kind.POLICY),
        trained_weights=result.trained_weights,
    )


def perform_dpo(job: Job) -> Outcome:
    rankings = job.rankings()
    result = resumed(
        job,
        lambda checkpoints: job.in_all_processes(
            partial(dpo.train, cast(run_recipes.DPORecipe, job.recipe)),
            base_model=job.policy_source,
            rankings=rankings,
            out_dir=job.out_dir,
            checkpoints=checkpoints,
        ),
    )
    left_out = {f"left_out/{reason}": n for reason, n in (rankings.left_out | result.left_out).items()}
    counts = {
        **{"rankings": len(rankings), "pairs": result.pairs, "prompts_cut": result.prompts_cut},
        **{"steps": result.steps, "control_tokens_removed": result.control_tokens_removed},
        "trained_parameters": result.trained_parameters,
        **left_out,
        **result.repeats,
    }
    return Outcome(
        result.metrics,
        counts,
        job.new_model(ModelVersion.Kind.POLICY),
        trained_weights=result.trained_weights,
    )


def perform_sample(job: Job) -> Outcome:
    recipe = cast(run_recipes.SampleRecipe, job.recipe)
    drawn = prompts_to_sample(
        project=job.run.project, limit=recipe.max_prompts, seed=recipe.seed, selection=recipe.selection
    )
    prompts = counted(job, drawn)
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
        "prompts_refused": sampled.refused,
        "prompts_with_equal_responses": len(sampled.prompts) - len(drafts),
    }
    return Outcome(counts=counts, tasks=NewTasks(drafts, recipe.overlap, recipe.priority))


def perform_evaluate(job: Job) -> Outcome:
    recipe = cast(run_recipes.EvaluateRecipe, job.recipe)
    drawn = drawn_prompts(job)
    # The project can also have imported prompts, which the gold judge can't score. A reward model's chat
    # template can reject a prompt.
    judge = None if recipe.judge == "gold" else RewardModelJudge.load(_reward_model_folder(job))
    known = demo_world.knows if judge is None else judge.can_read
    prompts = [messages for messages in drawn if known(messages)]
    if not prompts and judge is None:
        raise UnusableInput(
            "none of the project's prompts is from the demo world, and the gold judge can't score other "
            "prompts",
            FailureKind.GOLD_CANNOT_JUDGE,
        )
    result = evaluation.evaluate(
        recipe,
        policy=job.policy_source,
        prompts=prompts,
        judge=judge or demo_world.gold_reward,
        report=job.report,
    )
    metrics = {f"{recipe.judge}/{name}": value for name, value in result.metrics().items()}
    if judge is not None:
        metrics |= judge.metrics()
    counts = {
        "prompts": result.n,
        "prompts_cut": result.cut,
        "prompts_refused": result.refused,
        "prompts_not_judged": len(drawn) - len(prompts),
    }
    answers = job.work / ANSWERS
    write_answers(map(answered_prompt, result.rows), answers)
    return Outcome(metrics, counts, answers=finished_file(answers))


def answered_prompt(row: evaluation.EvaluatedPrompt) -> AnsweredPrompt:
    messages = [dict(message) for message in row.messages]
    return AnsweredPrompt(messages=messages, responses=row.responses, points=row.points)


PERFORM: dict[str, Callable[[Job], Outcome]] = {
    Kind.SFT: perform_sft,
    Kind.REWARD_MODEL: perform_reward_model,
    Kind.REJECTION_SAMPLING: perform_rejection_sampling,
    Kind.RLOO: perform_rloo,
    Kind.PPO: perform_ppo,
    Kind.DPO: perform_dpo,
    Kind.SAMPLE: perform_sample,
    Kind.EVALUATE: perform_evaluate,
}


def _reward_model_folder(job: Job) -> Path:
    [folder, *further] = job.reward_models.values()
    if further:
        raise UnusableInput(
            f"{job.run.kind} runs use only one reward model: leave `reward_weights` and `reward_floors` empty"
        )
    return folder
