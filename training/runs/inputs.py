"""A run's inputs: its models and its snapshot, resolved at launch and stored by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from django.db.models import Q, QuerySet

from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Comparison, DatasetSnapshot, Project, Prompt, Ranking, Response, User
from annotation.models.content import Split
from config.problems import FieldProblem, Problem
from preferences.records import DEMONSTRATION
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.failures import FailureKind, RunFailure, UnusableInput
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.files import adapters
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.rewards import UsesRewards
from training.runs.generation_servers import refused_server
from training.runs.model_checks import refusals
from training.runs.model_files import changed_size
from training.runs.prompt_selection import ALL, matching, n_selected
from training.runs.recipes.catalog import MODEL_INPUTS, kind_named
from training.runs.recipes.run_recipes import DEMO_WORLD, UsesPrompts


class WeightsGone(RunFailure):
    """Raised if the weights of one of the run's models no longer exist."""

    kind = FailureKind.MODEL_GONE


# For each source of demonstrations: what a snapshot must contain, and the advice for a project that has
# nothing of the kind.
LEARNS_FROM = {
    "best_responses": ("comparisons", "Rank some responses or import rankings first."),
    "rewrites": (
        "rewrites",
        "Ask for rewrites in the project's form, or import rankings with rewrites first.",
    ),
    "all": ("comparisons and no rewrites", "Rank some responses or import rankings first."),
}
MODELS_IN_TURN = ("reward_model", "policy")  # the default policy depends on the reward model
NOTHING_TO_MIX_IN = (
    "ptx_coefficient mixes in the best responses of the reward model's snapshot, but this reward model was "
    "not trained on a snapshot. Set ptx_coefficient to 0, or choose another reward model."
)
FURTHER = "reward_model_"  # further reward models are the inputs reward_model_2, reward_model_3 and so on


def settle_inputs(
    *,
    project: Project,
    kind: str,
    recipe: Recipe,
    given: Mapping[str, str],
    found: tuple[dict[str, ModelVersion], list[FieldProblem]],
    user: User | None,
) -> dict[str, str]:
    """Resolve every input of the run to a name: {input: name}. Raises Problem with one reason per invalid
    input. ``found`` is the result of `settle_models`.

    The default for `policy` and `reward_model` is the project's production model of that kind. Without a
    production model, the default is the newest model of that kind. The default for `snapshot` is a new
    snapshot of the current rankings. An sft run without an input policy starts from its recipe's base_model.
    In the recipes of all other run kinds, base_model replaces the input policy.

    For a run that improves a policy, the default for `policy` is not the newest policy but the policy from
    which the reward model was trained. The reward model was trained on that policy's responses. In two
    measurements, the first improvement with a reward model raised the gold reward by 0.3 to 0.5. Improving
    the policy again with the same reward model lowered the gold reward, from 1.65 to 1.46 and from 1.56 to
    1.35.

    Further reward models, which the recipe names, become the inputs `reward_model_2`, `reward_model_3` and so
    on.
    """
    models, errors = found
    settled = {name: model.name for name, model in models.items()}
    # A snapshot is frozen only if the run is not refused.
    if "snapshot" in kind_named(kind).inputs and (given.get("snapshot") or not errors):
        try:
            settled |= _snapshot(project, recipe, given.get("snapshot", ""), user)
        except Problem as problem:
            errors += problem.errors
    if errors:
        raise Problem("; ".join(f"{e.field}: {e.reason}" for e in errors), errors=errors)
    return settled


def settle_models(
    *, project: Project, kind: str, recipe: Recipe, given: Mapping[str, str]
) -> tuple[dict[str, ModelVersion], list[FieldProblem]]:
    """Return the models among the inputs, and the problems with the given inputs. Writes nothing."""
    entry = kind_named(kind)
    errors = [
        FieldProblem(
            f"inputs.{name}", f"This run kind has no such input. Its inputs are {', '.join(entry.inputs)}."
        )
        for name in given
        if name not in entry.inputs
    ]
    errors += _wrong_base_model(recipe)
    if getattr(recipe, "use_peft", False) and not given.get("policy"):
        errors += _adapter_of_new_model(recipe)
    if reason := refused_server(recipe):
        errors.append(FieldProblem("recipe.server", reason))
    if isinstance(recipe, UsesPrompts):
        errors += _wrong_prompts(project, recipe)
    models: dict[str, ModelVersion] = {}
    for name in MODELS_IN_TURN:
        if name not in entry.inputs:
            continue
        judge = models.get("reward_model") if entry.improves_policy else None
        try:
            model = _model(project, name, recipe, given.get(name, ""), judge)
        except Problem as problem:
            errors += problem.errors
        else:
            models |= {name: model} if model is not None else {}
    others, problems = _further_reward_models(project, recipe, models.get("reward_model"))
    models |= others
    errors += problems
    found = unusable_models(kind=kind, recipe=recipe, models=models)
    errors += [FieldProblem(field, str(refused)) for field, refused in found]
    return models, errors + _nothing_to_mix_in(recipe, models.get("reward_model"))


def unusable_models(
    *, kind: str, recipe: Recipe, models: Mapping[str, ModelVersion]
) -> Iterator[tuple[str, Refused]]:
    """Yield the reasons why the run can't work with its models, each with the field that it concerns."""
    policy, judge = models.get("policy"), models.get("reward_model")
    source = source_of(kind, recipe, policy)
    return refusals(
        kind=kind,
        recipe=recipe,
        source=source,
        policy_field="inputs.policy" if is_source(policy, source) else "recipe.base_model",
        judge=judge.folder if judge is not None and _needs("reward_model", recipe) else None,
        further=[
            (_setting_with(models[name].name, recipe), models[name].folder) for name in further_inputs(models)
        ],
    )


def further_inputs(inputs: Iterable[str]) -> list[str]:
    """Return the names of the inputs that are further reward models, in order."""
    return sorted(
        (name for name in inputs if name.startswith(FURTHER)), key=lambda name: int(name[len(FURTHER) :])
    )


def model_input(*, project: Project, name: str) -> ModelVersion:
    """Return the model specified by an input of a launched run, with the run that trained it. Raises
    WeightsGone if the model's weights were removed after the launch."""
    model = ModelVersion.objects.select_related("run__project").get(project=project, name=name)
    if reason := missing_weights(model):
        raise WeightsGone(reason)
    return model


def source_of(kind: str, recipe: Recipe, policy: ModelVersion | None) -> str:
    """Return the folder or hub name of the model that the run starts from.

    If the recipe's base_model is set, the run starts from base_model. Otherwise, it starts from the input
    policy. In sft recipes, base_model has a default. An sft run with an input policy therefore ignores
    base_model and always starts from the input policy.
    """
    named = str(getattr(recipe, "base_model", ""))
    if policy is not None and (not named or kind == TrainingRun.Kind.SFT):
        return str(policy.folder)
    return named


def is_source(policy: ModelVersion | None, source: str) -> bool:
    """Return whether `source` (from `source_of`) is this policy's folder."""
    return policy is not None and source == str(policy.folder)


def _model(
    project: Project, name: str, recipe: Recipe, given: str, judge: ModelVersion | None
) -> ModelVersion | None:
    """Return the model for this input, or None if the run does not need one. Raises Problem if there is no
    suitable model."""
    kind, field = MODEL_INPUTS[name], f"inputs.{name}"
    if given:
        return _named_model(project, kind, given, field)
    if not _needs(name, recipe):
        return None
    if name == "reward_model" and isinstance(recipe, UsesRewards) and (weights := recipe.weights_of()):
        return _named_model(project, kind, next(iter(weights)), "recipe.reward_weights")
    model = ModelVersion.objects.default_for(project=project, kind=kind, reward_model=judge)
    if model is None:
        first = "Train one with SFT first, or set base_model" if name == "policy" else "Train one first"
        raise _wrong(field, f"The project has no {kind.label.lower()}. {first}.")
    _check_weights(model, field)
    return model


def _named_model(project: Project, kind: ModelVersion.Kind, given: str, field: str) -> ModelVersion:
    """Return the project's model with this name or ID. Raises a Problem that names this field if the run
    can't use the model."""
    model = ModelVersion.objects.filter(by_name_or_id(given), project=project).first()
    if model is None:
        raise _wrong(field, f"The project has no model {given!r}.")
    if model.kind != kind:
        raise _wrong(field, f"{model.name} is a {model.kind}; this input requires a {kind}.")
    if model.stage == ModelVersion.Stage.ARCHIVED:
        raise _wrong(field, f"{model.name} is archived. Promote it, or choose another model.")
    _check_weights(model, field)
    return model


def _further_reward_models(
    project: Project, recipe: Recipe, first: ModelVersion | None
) -> tuple[dict[str, ModelVersion], list[FieldProblem]]:
    """Return the reward models that are named only in the recipe, as a dict from inputs to models, and the
    problems with these models. `first` is the input reward model."""
    if first is None or not isinstance(recipe, UsesRewards):
        return {}, []
    found: dict[str, ModelVersion] = {}
    errors: list[FieldProblem] = []
    for name in recipe.rewards_named():
        if name == first.name:
            continue
        try:
            model = _named_model(project, MODEL_INPUTS["reward_model"], name, _setting_with(name, recipe))
        except Problem as problem:
            errors += problem.errors
        else:
            found[f"{FURTHER}{len(found) + 2}"] = model
    if not errors:
        try:
            recipe.weights_and_floors([first.name, *(model.name for model in found.values())])
        except ValueError as error:
            errors.append(FieldProblem("recipe.reward_floors", f"{error}."))
    return found, errors


def _setting_with(name: str, recipe: Recipe) -> str:
    """Return which field of the launch request names this additional reward model."""
    weighted = isinstance(recipe, UsesRewards) and name in recipe.weights_of()
    return "recipe.reward_weights" if weighted else "recipe.reward_floors"


def _nothing_to_mix_in(recipe: Recipe, judge: ModelVersion | None) -> list[FieldProblem]:
    """Check that the reward model was trained on a snapshot, which provides the demonstrations for
    `ptx_coefficient`."""
    if not getattr(recipe, "ptx_coefficient", 0) or judge is None or snapshot_of(judge):
        return []
    return [FieldProblem("recipe.ptx_coefficient", NOTHING_TO_MIX_IN)]


def snapshot_of(model: ModelVersion) -> str:
    """Return the name of the snapshot that the model was trained on, or an empty string."""
    return "" if model.run is None else str(model.run.inputs.get("snapshot", ""))


def _needs(name: str, recipe: Recipe) -> bool:
    """Return whether the run requires this input."""
    if name == "policy":
        return not getattr(recipe, "base_model", "")
    return getattr(recipe, "judge", "reward_model") == "reward_model"


def imported_demonstrations(project: Project) -> QuerySet[Response]:
    """Return the imported human-written answers to the project's training prompts."""
    return Response.objects.filter(
        prompt__project=project, prompt__split=Split.TRAIN, model_name=DEMONSTRATION
    ).exclude(text="")


def _snapshot(project: Project, recipe: Recipe, given: str, user: User | None) -> dict[str, str]:
    answers = getattr(recipe, "demonstrations", "best_responses")
    if answers in ("demo_world", "imported"):
        if given:
            raise _wrong(
                "inputs.snapshot",
                "Set demonstrations to best_responses, rewrites or all to learn from a snapshot.",
            )
        if answers == "imported" and not imported_demonstrations(project).exists():
            raise _wrong(
                "recipe.demonstrations",
                "The project has no imported demonstrations for training prompts. Import a file first (format"
                " demonstrations).",
            )
        return {}
    learns_from, advice = LEARNS_FROM[answers]
    reads_comparisons, reads_rewrites = answers != "rewrites", answers in ("rewrites", "all")
    if given:
        snapshot = DatasetSnapshot.objects.filter(by_name_or_id(given), project=project).first()
        if snapshot is None:
            raise _wrong("inputs.snapshot", f"The project has no snapshot {given!r}.")
    else:
        rewritten = Ranking.objects.counted().filter(project=project, rewrite__gt="")
        compared = Comparison.objects.counted().filter(project=project)
        if not ((reads_comparisons and compared.exists()) or (reads_rewrites and rewritten.exists())):
            raise _wrong("inputs.snapshot", f"The project has no {learns_from}. {advice}")
        snapshot = freeze_snapshot(project=project, created_by=user)
    rewrites = snapshot.card.get("rewrites", 0)
    if not ((reads_comparisons and snapshot.comparisons) or (reads_rewrites and rewrites)):
        raise _wrong("inputs.snapshot", f"Snapshot {snapshot.name} has no {learns_from} to learn from.")
    return {"snapshot": snapshot.name}


def _wrong_prompts(project: Project, recipe: UsesPrompts) -> list[FieldProblem]:
    """Check that the project has prompts, and that the recipe's selection leaves some of them."""
    if not Prompt.objects.filter(project=project).exists():
        return [FieldProblem("project", "The project has no prompts. Import some first.")]
    if recipe.selection == ALL:
        return []
    prompts = matching(project=project, split=recipe.used_split, selection=recipe.selection)
    if not prompts.exists():
        if recipe.selection.filter or recipe.selection.weights:
            reason = "None of the project's prompts for this run has this metadata."
            return [FieldProblem("recipe.prompt_filter", reason)]
        kind = "held-out" if recipe.used_split == Split.HELDOUT else "training"
        return [FieldProblem("project", f"The project has no {kind} prompts. Import more prompts.")]
    try:
        n_selected(prompts, selection=recipe.selection, limit=recipe.max_prompts)
    except UnusableInput as error:
        return [FieldProblem("recipe.prompt_mixture", f"{error}")]
    return []


def _wrong_base_model(recipe: Recipe) -> list[FieldProblem]:
    """Check that a base_model path contains a model. A hub name can be checked only on the worker's
    machine."""
    name = str(getattr(recipe, "base_model", ""))
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    if not is_path or adapters.holds_model(name):
        return []
    reason = f"There is no model at {name!r}: that folder has no {adapters.CONFIG_FILE}."
    return [FieldProblem("recipe.base_model", reason)]


def _adapter_of_new_model(recipe: Recipe) -> list[FieldProblem]:
    """Check that an adapter's base model is stored. The demo world's new model is never saved, so it can't be
    the base model."""
    if getattr(recipe, "base_model", "") != DEMO_WORLD:
        return []
    reason = (
        "An adapter depends on the files of its base model, but the demo world's model is new and has none. "
        "Set use_peft to false, or start from an input policy."
    )
    return [FieldProblem("recipe.use_peft", reason)]


def _check_weights(model: ModelVersion, field: str) -> None:
    if reason := missing_weights(model) or changed_size(model):
        raise _wrong(field, reason)


def missing_weights(model: ModelVersion) -> str:
    """Return the reason why the model can't be loaded: its folder contains no model, or the base model of its
    adapters is missing. The result is empty if the model can be loaded."""
    if not adapters.holds_model(model.folder):
        return f"The weights of {model.name} are missing: {model.path} has no {adapters.CONFIG_FILE}."
    try:
        base = adapters.missing_base(model.folder)
    except adapters.BrokenAdapter as error:
        return f"The weights of {model.name} are missing: {error}."
    if not base:
        return ""
    what = (
        "the model is an adapter"
        if adapters.is_adapter(model.folder)
        else "the members of its ensemble are adapters"
    )
    return f"The weights of {model.name} are missing: {what} of {base}, which no longer exists."


def by_name_or_id(value: str) -> Q:
    """Return a queryset filter by name or ID."""
    try:
        return Q(pk=UUID(value))
    except ValueError:
        return Q(name=value)


def _wrong(field: str, reason: str) -> Problem:
    return Problem(reason, errors=[FieldProblem(field, reason)])
