"""The inputs of a run: which models and which snapshot it works with, settled at launch and kept by name."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Q

from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Comparison, DatasetSnapshot, Project, Prompt, User
from config.problems import FieldProblem, Problem
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.recipe import Recipe
from training.rlhf.models import adapters
from training.runs.recipes.catalog import MODEL_INPUTS, RunKind


class WeightsGone(RunFailure):
    """A model that the run needs has no weights any more."""

    kind = FailureKind.MODEL_GONE


MODELS_IN_TURN = ("reward_model", "policy")  # the policy's default hangs on the reward model


def settle_inputs(
    *,
    project: Project,
    kind: RunKind,
    recipe: Recipe,
    given: Mapping[str, str],
    user: User | None,
) -> dict[str, str]:
    """Every input that the run will use, as {input: name}. Raises Problem with one reason per wrong input.

    Where nothing is given: `policy` and `reward_model` are the project's production model of that kind, else
    its newest; `snapshot` is frozen now. An sft run starts from its recipe's base_model
    instead, and a base_model in any recipe takes the policy's place.

    A reward model that is to improve a policy knows the responses of the one it was trained from: that one,
    not the newest, is the default. Improved by it once more, a policy that it has improved already got worse
    (gold 1.65 to 1.46 and 1.56 to 1.35, where the first turn gains 0.3 to 0.5).
    """
    models, errors = settle_models(project=project, kind=kind, recipe=recipe, given=given)
    settled = {name: model.name for name, model in models.items()}
    # Nothing is frozen for a run that is refused anyway.
    if "snapshot" in kind.inputs and (given.get("snapshot") or not errors):
        try:
            settled |= _snapshot(project, recipe, given.get("snapshot", ""), user)
        except Problem as problem:
            errors += problem.errors
    if errors:
        raise Problem("; ".join(f"{e.field}: {e.reason}" for e in errors), errors=errors)
    return settled


def settle_models(
    *, project: Project, kind: RunKind, recipe: Recipe, given: Mapping[str, str]
) -> tuple[dict[str, ModelVersion], list[FieldProblem]]:
    """The models among the inputs, by input, and what is wrong with what was given. Writes nothing."""
    errors = [
        FieldProblem(
            f"inputs.{name}", f"This kind of run has no such input; it takes {', '.join(kind.inputs)}."
        )
        for name in given
        if name not in kind.inputs
    ]
    errors += _wrong_base_model(recipe)
    if "max_prompts" in type(recipe).model_fields and not Prompt.objects.filter(project=project).exists():
        errors.append(FieldProblem("project", "The project has no prompts yet: import some first."))
    models: dict[str, ModelVersion] = {}
    for name in MODELS_IN_TURN:
        if name not in kind.inputs:
            continue
        judge = models.get("reward_model") if kind.improves_policy else None
        try:
            model = _model(project, name, recipe, given.get(name, ""), judge)
        except Problem as problem:
            errors += problem.errors
        else:
            models |= {name: model} if model is not None else {}
    return models, errors


def model_input(*, project: Project, name: str) -> ModelVersion:
    """The model that an input of a launched run names. Raises WeightsGone if its weights were removed since
    the launch."""
    model = ModelVersion.objects.get(project=project, name=name)
    if reason := missing_weights(model):
        raise WeightsGone(reason)
    return model


def source_of(kind: str, recipe: Recipe, policy: ModelVersion | None) -> str:
    """What the run loads: the recipe's base_model if it names one, else the folder of the input policy. An
    sft run with an input policy always starts from that policy, because its base_model has a default."""
    named = str(getattr(recipe, "base_model", ""))
    if policy is not None and (not named or kind == TrainingRun.Kind.SFT):
        return str(policy.folder)
    return named


def is_source(policy: ModelVersion | None, source: str) -> bool:
    """Whether `source_of` chose this policy."""
    return policy is not None and source == str(policy.folder)


def _model(
    project: Project, name: str, recipe: Recipe, given: str, judge: ModelVersion | None
) -> ModelVersion | None:
    """None: the run needs no such input."""
    kind, field = MODEL_INPUTS[name], f"inputs.{name}"
    if not given:
        if not _needs(name, recipe):
            return None
        model = ModelVersion.objects.default_for(project=project, kind=kind, reward_model=judge)
        if model is None:
            first = "Run sft first, or set base_model" if name == "policy" else "Run reward_model first"
            raise _wrong(field, f"The project has no {kind.label.lower()} yet. {first}.")
    else:
        model = ModelVersion.objects.filter(by_name_or_id(given), project=project).first()
        if model is None:
            raise _wrong(field, f"The project has no model {given!r}.")
        if model.kind != kind:
            raise _wrong(field, f"{model.name} is a {model.kind}; this input takes a {kind}.")
        if model.stage == ModelVersion.Stage.ARCHIVED:
            raise _wrong(field, f"{model.name} is archived. Promote it, or choose another.")
    _check_weights(model, name)
    return model


def _needs(name: str, recipe: Recipe) -> bool:
    """Whether the run can't start without this input."""
    if name == "policy":
        return not getattr(recipe, "base_model", "")
    return getattr(recipe, "judge", "reward_model") == "reward_model"


def _snapshot(project: Project, recipe: Recipe, given: str, user: User | None) -> dict[str, str]:
    if getattr(recipe, "demonstrations", "best_responses") != "best_responses":
        if given:
            raise _wrong("inputs.snapshot", "Set demonstrations=best_responses to learn from a snapshot.")
        return {}
    if given:
        snapshot = DatasetSnapshot.objects.filter(by_name_or_id(given), project=project).first()
        if snapshot is None:
            raise _wrong("inputs.snapshot", f"The project has no snapshot {given!r}.")
    else:
        if not Comparison.objects.counted().filter(project=project).exists():
            raise _wrong(
                "inputs.snapshot", "The project has no comparisons yet: rank or import some responses first."
            )
        snapshot = freeze_snapshot(project=project, created_by=user)
    if snapshot.comparisons == 0:
        raise _wrong("inputs.snapshot", f"Snapshot {snapshot.name} holds no comparison to learn from.")
    return {"snapshot": snapshot.name}


def _wrong_base_model(recipe: Recipe) -> list[FieldProblem]:
    """A path is checked here; whether the hub has a name, only the training machine can tell."""
    name = str(getattr(recipe, "base_model", ""))
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    if not is_path or adapters.holds_model(name):
        return []
    reason = f"There is no model at {name!r}: no {adapters.CONFIG_FILE} in that folder."
    return [FieldProblem("recipe.base_model", reason)]


def _check_weights(model: ModelVersion, name: str) -> None:
    if reason := missing_weights(model):
        raise _wrong(f"inputs.{name}", reason)


def missing_weights(model: ModelVersion) -> str:
    """Why the model can't be loaded, where its folder or its adapter's base is gone; else empty."""
    if not adapters.holds_model(model.folder):
        return f"The weights of {model.name} are gone: {model.path} has no {adapters.CONFIG_FILE}."
    try:
        base = adapters.missing_base(model.folder)
    except adapters.BrokenAdapter as error:
        return f"The weights of {model.name} are gone: {error}."
    if not base:
        return ""
    what = (
        "it is an adapter"
        if adapters.is_adapter(model.folder)
        else "the members of its ensemble are adapters"
    )
    return f"The weights of {model.name} are gone: {what} of {base}, which is."


def by_name_or_id(value: str) -> Q:
    """By name or by id."""
    try:
        return Q(pk=UUID(value))
    except ValueError:
        return Q(name=value)


def _wrong(field: str, reason: str) -> Problem:
    return Problem(reason, errors=[FieldProblem(field, reason)])
