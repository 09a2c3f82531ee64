"""Inputs for `training.rlhf.planning`, for planned and finished runs. The measurements of finished runs
are used to correct the computed cost of a planned run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from annotation.models import Project
from config.problems import Problem
from training.models import ModelVersion, TrainingRun
from training.rlhf.models.files import adapters, shapes
from training.rlhf.planning import answers, disk, loops, on_policy, reward_model, varied
from training.rlhf.planning.cost import Conditions, Cost, Data
from training.rlhf.planning.disk import Disk
from training.rlhf.planning.scoring import with_scoring
from training.rlhf.planning.transformer import without_output_layer
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.rewards import UsesRewards
from training.runs.estimates.machine import Machine, machine_in
from training.runs.estimates.reading import data_of
from training.runs.inputs import further_inputs, is_source, source_of
from training.runs.recipes import catalog
from training.runs.recipes.run_recipes import (
    DEMO_WORLD,
    DPORecipe,
    EvaluateRecipe,
    PPORecipe,
    RejectionSamplingRecipe,
    RewardModelRecipe,
    RLOORecipe,
    SampleRecipe,
    SFTRecipe,
)

Kind = TrainingRun.Kind
EARLIER_RUNS, LOOKED_AT = 5, 40


@dataclass(frozen=True)
class Plan:
    """Two estimates of a run's cost: `usual` with answers of typical length, and `cautious` with the longest
    answers that the recipe allows. Both are costs of one process. `processes` is the number of the run's
    processes."""

    usual: Cost
    cautious: Cost
    disk: Disk
    weights: int
    processes: int = 1


@dataclass(frozen=True)
class Earlier:
    seconds: float
    peak_bytes: int
    plan: Plan


def earlier_runs(*, kind: str, base_model: str, project: Project, machine: Machine) -> list[Earlier]:
    """Return the newest runs of this kind that used this base model. The project's own runs come first,
    because their texts are the most similar to those of the planned run."""
    runs = TrainingRun.objects.filter(kind=kind, state="succeeded", started_at__isnull=False)
    newest = sorted(
        runs.select_related("project").order_by("-created_at")[:LOOKED_AT],
        key=lambda run: run.project_id != project.pk,
    )
    named = {name for run in newest for name in run.inputs.values() if name}
    models = {model.name: model for model in ModelVersion.objects.filter(name__in=named)}
    found: list[Earlier] = []
    for run in newest:
        if len(found) == EARLIER_RUNS:
            break
        measured = _measured(run, base_model, models, machine)
        found += [measured] if measured is not None else []
    return found


def _measured(
    run: TrainingRun, base_model: str, models: Mapping[str, ModelVersion], machine: Machine
) -> Earlier | None:
    """Return the run's measurements. `machine` is assumed for a run that did not record its own. Returns None
    if the run used another base model, if a server generated its answers (the cost does not include the
    server's time), or if the run's cost can no longer be computed."""
    used = {name: models[given] for name, given in run.inputs.items() if given in models}
    policy = used.get("policy")
    try:
        settings = catalog.stored_recipe(kind=run.kind, settings=run.recipe)
        if getattr(settings, "server", ""):
            return None
        source = source_of(run.kind, settings, policy)
        base = policy.base_model if policy is not None and is_source(policy, source) else source
        if base != base_model or run.finished_at is None or run.started_at is None:
            return None
        data = data_of(
            project=run.project,
            kind=run.kind,
            recipe=settings,
            snapshot=run.inputs.get("snapshot", ""),
            counts=run.result.get("counts", {}),
        )
        if recorded := run.result.get("machine"):
            machine = machine_in(recorded)
        plan = plan_of(run.kind, settings, source, used, data, machine)
    except (Problem, shapes.UnknownShape):
        return None
    took = (run.finished_at - run.started_at).total_seconds()
    return Earlier(took, int(run.result.get("machine", {}).get("peak_bytes", 0)), plan)


def plan_of(
    kind: str,
    recipe: Recipe,
    source: str,
    models: Mapping[str, ModelVersion],
    data: Data,
    machine: Machine,
) -> Plan:
    """Return the plan of a run on this machine, with these input models. The run starts from `source`."""
    policy = _shape(source)
    if kind == Kind.REWARD_MODEL:
        policy = without_output_layer(policy)
    judge = models.get("reward_model")
    judging = _judge_shape(judge) if judge is not None else None
    shared = judge is not None and _shares_trunk(recipe, source, judge)
    further = [_judge_shape(models[name]) for name in further_inputs(models)]
    named = [models[name] for name in ("reward_model", *further_inputs(models)) if name in models]
    members = [(_judge_shape(one), size) for one in named if (size := _members_of(one))]
    chosen = varied.chosen(recipe, data)
    # 0 means one process per GPU.
    processes = getattr(recipe, "processes", 1) or max(1, machine.gpus)
    usual, cautious = (
        varied.with_measuring(
            with_scoring(
                _cost(kind, recipe, policy, judging, chosen, shared=shared, given=given),
                judging,
                further,
                recipe,
                chosen,
                given=given,
                members=members if isinstance(recipe, UsesRewards) else (),
            ),
            policy,
            [judging or without_output_layer(policy), *further],
            recipe,
            data,
            given=given,
        )
        for given in (
            Conditions(worst, gpu=machine.on_gpu, memory=machine.memory_bytes or None, processes=processes)
            for worst in (False, True)
        )
    )
    return Plan(usual, cautious, _disk(kind, recipe, policy, judging), policy.weights, processes)


def _disk(kind: str, recipe: Recipe, policy: shapes.Shape, judge: shapes.Shape | None) -> Disk:
    if kind == Kind.REWARD_MODEL:
        return disk.reward_model(cast(RewardModelRecipe, recipe), policy)
    if kind == Kind.REJECTION_SAMPLING:
        selecting = cast(RejectionSamplingRecipe, recipe)
        return disk.rejection_sampling(selecting, policy, prompts=selecting.max_prompts)
    if kind == Kind.PPO:  # a separate critic is a copy of the judge's trunk, or of the policy's
        return disk.on_policy(cast(PPORecipe, recipe), policy, critic=judge or without_output_layer(policy))
    if kind == Kind.RLOO:
        return disk.on_policy(cast(RLOORecipe, recipe), policy)
    if kind in (Kind.SFT, Kind.DPO):
        return disk.trained_policy(cast(SFTRecipe | DPORecipe, recipe), policy)
    return Disk()


def _cost(
    kind: str,
    recipe: Recipe,
    policy: shapes.Shape,
    judge: shapes.Shape | None,
    data: Data,
    *,
    shared: bool,
    given: Conditions,
) -> Cost:
    work: Mapping[str, Callable[[], Cost]] = {
        Kind.SFT: lambda: loops.sft(cast(SFTRecipe, recipe), policy, data, given=given),
        Kind.REWARD_MODEL: lambda: reward_model.reward_model(
            cast(RewardModelRecipe, recipe), policy, data, given=given
        ),
        Kind.REJECTION_SAMPLING: lambda: loops.rejection_sampling(
            cast(RejectionSamplingRecipe, recipe),
            policy,
            judge or without_output_layer(policy),
            data,
            shared=shared,
            given=given,
        ),
        Kind.RLOO: lambda: on_policy.rloo(
            cast(RLOORecipe, recipe),
            policy,
            judge or without_output_layer(policy),
            data,
            shared=shared,
            given=given,
        ),
        Kind.PPO: lambda: on_policy.ppo(
            cast(PPORecipe, recipe),
            policy,
            judge or without_output_layer(policy),
            data,
            shared=shared,
            given=given,
        ),
        Kind.DPO: lambda: loops.dpo(cast(DPORecipe, recipe), policy, data, given=given),
        Kind.SAMPLE: lambda: answers.sample(cast(SampleRecipe, recipe), policy, data, given=given),
        Kind.EVALUATE: lambda: answers.evaluate(
            cast(EvaluateRecipe, recipe),
            policy,
            judge if cast(EvaluateRecipe, recipe).judge == "reward_model" else None,
            data,
            given=given,
        ),
    }
    return work[kind]()


def _shares_trunk(recipe: Recipe, source: str, judge: ModelVersion) -> bool:
    """Return whether the reward model has the same base model as the adapter that the run trains."""
    if not getattr(recipe, "use_peft", False) or not adapters.is_adapter(judge.folder):
        return False
    try:
        base = adapters.base_of(source) if adapters.is_adapter(source) else source
        return adapters.lasting_name(base) == adapters.lasting_name(adapters.base_of(judge.folder))
    except adapters.BrokenAdapter:
        return False


def _judge_shape(judge: ModelVersion) -> shapes.Shape:
    """Return the shape of a reward model. An adapter has the shape of its base model."""
    return without_output_layer(shapes.shape_in(judge.folder))


def _members_of(judge: ModelVersion) -> int:
    """Return the number of adapters in the ensemble that estimates the reward model's uncertainty."""
    return len(list((judge.folder / adapters.UNCERTAINTY).glob(adapters.MEMBER.format("*"))))


def _shape(source: str) -> shapes.Shape:
    if source == DEMO_WORLD:
        return shapes.demo_shape()
    for folder in (Path(source), *_cached(source)):
        if adapters.holds_model(folder):
            return shapes.shape_in(folder)
    return shapes.shape_named(source)


def _cached(name: str) -> list[Path]:
    """Return the folders in which the Hugging Face client has cached a model with this name."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    if name.count("/") > 1 or ".." in name:
        return []
    return sorted((cache / f"models--{name.replace('/', '--')}" / "snapshots").glob("*"))
