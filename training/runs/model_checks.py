"""Check, using only the files in the models' folders, whether a run can work with its models.

These checks are made at launch, so that a run that can't work is refused before it is queued. The run's
process repeats them, because files can change while the run waits. A model on the hub is checked only after
it has been loaded. This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path

from training.models import TrainingRun
from training.rlhf.models.checks.adapter import refuse_biases
from training.rlhf.models.checks.arguments import refuse_unused
from training.rlhf.models.checks.files import State, state_of
from training.rlhf.models.checks.lengths import context_in, refuse_no_room
from training.rlhf.models.checks.model import check_model
from training.rlhf.models.checks.pair import check_pair, same_vocabulary, template_of
from training.rlhf.models.checks.probes import ReadingTimedOut
from training.rlhf.models.checks.refusal import Purpose, Refused, unreadable
from training.rlhf.models.checks.reward import check_scale, check_trunk
from training.rlhf.models.files import adapters
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.templates import parse_arguments
from training.rlhf.recipes.parts.weights import TrainsPolicy

Kind = TrainingRun.Kind
# Kinds of runs that add EOS to a truncated answer before they score it.
ADDS_EOS = {Kind.RLOO, Kind.PPO}
# Number of check results cached in memory. The launch form requests an estimate, with the same checks, after
# every change.
KEPT = 256


def refusals(
    *,
    kind: str,
    recipe: Recipe,
    source: str,
    policy_field: str,
    judge: Path | None,
    further: Sequence[tuple[str, Path]],
) -> Iterator[tuple[str, Refused]]:
    """Yield the reasons why this run can't work, each with the field of the launch request that it concerns.

    ``source`` is the folder or hub name of the model that the run starts from. ``judge`` is the folder of the
    reward model, or None if the run needs none. ``further`` contains the folders of further reward models,
    each with the field that names it. PPO's separate critic starts as a copy of one reward model. The other
    reward models can be encoders or have a different vocabulary, because they score text.
    """
    policy = Path(source) if source and adapters.holds_model(source) else None
    purpose = Purpose.TRUNK if kind == Kind.REWARD_MODEL else Purpose.POLICY
    found = [(policy_field, _of_model(policy, purpose, _state(policy)))] if policy else []
    if judge is not None:
        found.append(("inputs.reward_model", _of_model(judge, Purpose.REWARD_MODEL, _state(judge))))
    for field, folder in further:
        found.append((field, _of_model(folder, Purpose.REWARD_MODEL, _state(folder))))
        found.append((field, _refused(partial(check_scale, folder), folder)))
    unusable = [(field, refused) for field, refused in found if refused is not None]
    yield from unusable
    if unusable:
        return
    if policy is not None:
        yield from _too_long(recipe, policy, judge, reserved=int(kind in ADDS_EOS))
        if refused := _refused(partial(_refuse_unused_arguments, recipe, policy), policy):
            yield "recipe.template_arguments", refused
            return
        if refused := _refused(partial(_refuse_biases, recipe, policy), policy):
            yield policy_field, refused
            return
    if kind in ADDS_EOS and judge is not None:
        judges = [judge, *(folder for _, folder in further)]
        copies = getattr(recipe, "critic_kind", "") == "separate"
        refused = _no_critic(recipe, policy, judges) if copies else None
        refused = refused or _refused(partial(check_scale, judge), judge)
        if refused is not None:
            yield "inputs.reward_model", refused


def _no_critic(recipe: Recipe, policy: Path | None, judges: Sequence[Path]) -> Refused | None:
    """Return None if PPO's critic can start as a copy of at least one of the reward models
    (`critic.critic_for`), and otherwise the reason why the first reward model can't be used."""
    found = [_not_a_critic(recipe, policy, judge) for judge in judges]
    return None if None in found else found[0]


def _not_a_critic(recipe: Recipe, policy: Path | None, judge: Path) -> Refused | None:
    refused = _refused(partial(check_trunk, judge), judge)
    if refused is None and policy is not None:
        with suppress(ReadingTimedOut):  # the run's process compares the templates
            written = str(getattr(recipe, "template_arguments", ""))
            refused = _of_pair(policy, judge, written, _state(policy), _state(judge))
    return refused


@lru_cache(maxsize=KEPT)
def _of_model(folder: Path, purpose: Purpose, state: State) -> Refused | None:
    return _refused(partial(check_model, folder, purpose), folder)


@lru_cache(maxsize=KEPT)
def _of_pair(
    policy: Path, judge: Path, arguments: str, policy_state: State, judge_state: State
) -> Refused | None:
    return _refused(partial(check_pair, policy, judge, parse_arguments(arguments)), judge)


def _refuse_unused_arguments(recipe: Recipe, policy: Path) -> None:
    arguments = parse_arguments(str(getattr(recipe, "template_arguments", "")))
    if arguments and (template := template_of(policy)) is not None:
        refuse_unused(arguments, template)


def _refuse_biases(recipe: Recipe, policy: Path) -> None:
    """Refuse to train an adapter further if it contains biases of its base model."""
    if isinstance(recipe, TrainsPolicy) and recipe.use_peft and adapters.is_adapter(policy):
        refuse_biases(policy)


def _too_long(
    recipe: Recipe, policy: Path, judge: Path | None, *, reserved: int
) -> Iterator[tuple[str, Refused]]:
    """Yield the settings that allow an answer to fill the context of the policy or the reward model, so that
    no room is left for a prompt. ``reserved`` is the number of tokens that the run adds to each answer."""
    for setting, limit in _answer_lengths(recipe).items():
        check = partial(_refuse_no_room, policy, judge, answer=limit, reserved=reserved, setting=setting)
        if refused := _refused(check, policy):
            yield f"recipe.{setting}", refused


def _refuse_no_room(policy: Path, judge: Path | None, *, answer: int, reserved: int, setting: str) -> None:
    refuse_no_room(policy, context=context_in(policy), answer=answer + reserved, setting=setting)
    # The reward model reads the answer and EOS. In another vocabulary, the answer's length is unknown.
    if judge is None or not 0 < (context := context_in(judge)) < answer + 2:
        return
    if _same_vocabulary(policy, judge, _state(policy), _state(judge)):
        refuse_no_room(judge, context=context, answer=answer + 1, setting=setting)


@lru_cache(maxsize=KEPT)
def _same_vocabulary(policy: Path, judge: Path, policy_state: State, judge_state: State) -> bool:
    return same_vocabulary(policy, judge)


def _answer_lengths(recipe: Recipe) -> dict[str, int]:
    """Return the settings of the recipe that limit the length of generated answers."""
    names = ["max_new_tokens"] if "max_new_tokens" in type(recipe).model_fields else []
    names += ["sample_tokens"] if getattr(recipe, "sample_prompts", 0) else []
    return {name: int(getattr(recipe, name)) for name in names}


def _refused(check: Callable[[], None], folder: Path) -> Refused | None:
    """Run the check and return its exception, if any, without the traceback, which would keep objects in
    memory. A file that disappears during the check makes the model unreadable."""
    try:
        check()
    except Refused as refused:
        return Refused(str(refused), refused.kind)
    except (OSError, adapters.BrokenAdapter) as error:
        return Refused(str(unreadable(folder, f"{error}.")))
    return None


def _state(folder: Path) -> State:
    """Return the state of the model's files (`state_of`). For an adapter, include its base model's files."""
    state = state_of(folder)
    if adapters.is_adapter(folder):
        try:
            return state + state_of(Path(adapters.base_of(folder)))
        except adapters.BrokenAdapter:
            return state
    return state
