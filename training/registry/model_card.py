"""A model's card in Markdown, in the form of the Hugging Face hub's model cards. The card states which
figures were not measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.models import Gate, ModelVersion, StageChange, TrainingRun
from training.registry.lineage import Lineage, lineage_of
from training.registry.reward_reports import report_of
from training.runs.recipes.catalog import KINDS

NOT_MEASURED = "not measured"


def model_card(model: ModelVersion) -> str:
    """Raises Problem if the report of a reward model can't be read."""
    lineage = lineage_of(model)
    sections = (
        _head(model, lineage),
        _training(model.run),
        _data(lineage),
        _results(model),
        _biases(model, lineage),
        _gates(model),
        _limits(model),
    )
    return "\n".join(line for section in sections for line in (*section, "")).rstrip() + "\n"


def _head(model: ModelVersion, lineage: Lineage) -> Iterator[str]:
    snapshot = lineage.snapshot
    yield "---"
    yield f"license: {(snapshot.card.get('license') if snapshot else '') or 'unknown'}"
    yield "library_name: " + ("peft" if model.weights == ModelVersion.Weights.ADAPTER else "transformers")
    yield "---"
    yield ""
    yield f"# {model.name}"
    yield ""
    yield f"- Kind: {model.get_kind_display().lower()}"
    yield f"- Base model: {model.base_model or 'unknown'}"
    if lineage.ancestors:
        yield "- Trained from: " + " ← ".join(one.name for one in lineage.ancestors)
    if lineage.reward_models:
        yield "- Reward model: " + ", ".join(one.name for one in lineage.reward_models)
    yield f"- Stage: {model.stage}"
    yield f"- Created: {model.created_at:%Y-%m-%d}"
    yield "- Intended use: not stated"


def _training(run: TrainingRun | None) -> Iterator[str]:
    yield "## Training"
    yield ""
    if run is None:
        yield "The model was registered without a training run."
        return
    yield f"Method: {KINDS[run.kind].title}. Settings that differ from the defaults:"
    yield ""
    fields = KINDS[run.kind].recipe.model_fields
    changed = {
        name: value
        for name, value in run.recipe.items()
        if name in fields and value != _plain(fields[name].get_default(call_default_factory=True))
    }
    yield from (f"- `{name}`: {value}" for name, value in changed.items()) if changed else ["- none"]


def _plain(value: Any) -> Any:
    """The JSON form of a default."""
    return list(value) if isinstance(value, tuple) else value


def _data(lineage: Lineage) -> Iterator[str]:
    yield "## Data"
    yield ""
    if lineage.snapshot is None:
        yield "The run that made this model had no snapshot of rankings as its input."
        return
    card = lineage.snapshot.card
    yield f"- Snapshot: {lineage.snapshot.name}, frozen on {lineage.snapshot.created_at:%Y-%m-%d}"
    yield f"- Rankings: {lineage.snapshot.rows:,}, by {card.get('annotators', 0):,} annotators"
    yield f"- Comparisons: {lineage.snapshot.comparisons:,}; ties: {card.get('ties', 0):,}"
    yield f"- Prompts: {card.get('prompts', 0):,}"
    yield f"- Agreement of annotators on the same two responses: {_agreement(card.get('agreement') or {})}"
    yield f"- Licence: {card.get('license') or 'not stated'}"


def _results(model: ModelVersion) -> Iterator[str]:
    yield "## Results"
    yield ""
    report = report_of(model) if model.kind == ModelVersion.Kind.REWARD_MODEL else None
    if report is not None:
        yield f"- Accuracy on held-out pairs: {_estimate(report['accuracy'])}"
        yield f"- Expected calibration error: {_estimate(report['calibration']['preference']['ece'])}"
    yield from (f"- `{name}`: {value:.4g}" for name, value in sorted(model.metrics.items()))
    if report is None and not model.metrics:
        yield "- not measured"


def _biases(model: ModelVersion, lineage: Lineage) -> Iterator[str]:
    """The biases of a reward model and of its annotators. For a policy, those of its reward model."""
    judges = [model] if model.kind == ModelVersion.Kind.REWARD_MODEL else lineage.reward_models
    yield "## Bias"
    yield ""
    if not judges:
        yield f"- {NOT_MEASURED}"
    for judge in judges:
        report = report_of(judge) or {}
        for name, towards in (("length", "the longer response"), ("position", "the response shown first")):
            lean = report.get(name)
            shares = (
                f"{_estimate(lean['by_model'])} by the model, {_estimate(lean['by_people'])} by annotators"
                if lean
                else NOT_MEASURED
            )
            yield f"- {judge.name}, share of preferences for {towards}: {shares}"


def _gates(model: ModelVersion) -> Iterator[str]:
    yield "## Gates and stages"
    yield ""
    gates = list(model.gates.exclude(state=Gate.State.OPEN).order_by("created_at"))
    yield from (f"- Gate {gate.state} on {gate.created_at:%Y-%m-%d}: {gate.reason}" for gate in gates)
    if not gates:
        yield "- The model has passed no gate."
    changes = StageChange.objects.filter(model=model).select_related("by").order_by("created_at")
    for change in changes:
        by = change.by.username if change.by else "the training loop"
        why = f": {change.reason}" if change.reason else ""
        yield f"- {change.created_at:%Y-%m-%d}: {change.before} → {change.after} by {by}{why}"


def _limits(model: ModelVersion) -> Iterator[str]:
    yield "## Limits"
    yield ""
    if model.kind == ModelVersion.Kind.REWARD_MODEL:
        yield (
            "Only differences between the rewards of responses to the same prompt are meaningful. The model "
            "has learned its annotators' preferences, including their biases."
        )
    else:
        yield (
            "The policy's answers are not necessarily correct or safe, even if its annotators or its reward "
            "model prefer them."
        )


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return NOT_MEASURED
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _agreement(agreement: Mapping[str, Any]) -> str:
    share = agreement.get("share")
    return NOT_MEASURED if share is None else f"{share:.1%} of {agreement['pairs']:,} cases"
