"""The loop of the methods that train a policy on its own rollouts: PPO and RLOO.

Everything that the loop changes is in one state, which checkpoints contain. A method's ``roll_out`` samples
and scores answers but does not change the state, so a run that is stopped during a rollout saves the state
and loses only that rollout. A method's ``update`` changes the state, which can't be saved between the
update's optimiser steps. If a run is stopped during an update, the update therefore gets UPDATE_GRACE seconds
to end. If the update takes longer, the run resumes from its newest checkpoint.

With several processes (`core.distributed`), each process computes its share of every rollout and update. All
processes have the same state, and the first process saves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from training.rlhf.core import distributed
from training.rlhf.core.alive import heard_by, told_by
from training.rlhf.core.checkpoint import (
    digest,
    open_store,
    reading_state,
    save_checkpoint,
    saving_when_stopped,
)
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.reporter import NullReporter, Reporter, with_grace
from training.rlhf.core.sharding import is_sharded, shards, stopping_together
from training.rlhf.core.shared_reporter import SharedReporter
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.loading.saving import save_trained
from training.rlhf.models.loading.trainable import trained_weights
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.ceiling import stay_below_ceiling
from training.rlhf.rollouts.samples import report_samples, sample_answers
from training.rlhf.rollouts.state import OnPolicyBatch, OnPolicyState
from training.rlhf.rollouts.steps import Progress
from training.rlhf.rollouts.target import end_within_target

UPDATE_GRACE = 6.0

Config = TypeVar("Config", bound=RolloutConfig)
State = TypeVar("State", bound=OnPolicyState)
Batch = TypeVar("Batch", bound=OnPolicyBatch)


@dataclass(frozen=True, slots=True)
class OnPolicyResult:
    """The path of the saved policy, with the metrics of the last step and some metrics of the first step. The
    keys of the first step's metrics end in ``_first``. ``prompts_refused`` counts the prompts that the chat
    template can't render."""

    path: Path
    steps: int
    metrics: dict[str, float]
    prompts_cut: int
    prompts_refused: int
    trained_parameters: int
    trained_weights: list[str]


def run_on_policy(
    config: Config,
    state: State,
    prompts: EncodedPrompts,
    *,
    roll_out: Callable[[Config, State, EncodedPrompts, Progress], Batch],
    update: Callable[[Config, State, Batch], dict[str, float]],
    out_dir: str | Path,
    checkpoints: str | Path | None,
    report: Reporter | None,
    inputs: Mapping[str, str] | None = None,
) -> OnPolicyResult:
    """Train from a new state, or from the newest checkpoint in ``checkpoints``, and save the policy.

    ``inputs`` contains digests of the method's inputs other than the models and the prompts. Raises
    CheckpointRefused if the folder contains checkpoints of a run with other inputs.
    """
    report, models = SharedReporter(report or NullReporter(), in_step=shards(config)), state.models
    of = {
        "prompts": digest([prompts.messages, prompts.ids]),
        "policy": fingerprint({"policy": models.actor}),
        "reward models": fingerprint({judge.name: judge.model for judge in models.judges.judges}),
    }
    trained = trained_weights(state.modules)
    store = open_store(checkpoints, config, of={**of, **(inputs or {})})
    if resumed := store.resume(state.modules, state.optimisers):
        with reading_state():
            state.restore(resumed)

    def save() -> None:
        save_checkpoint(
            store, report, state.step, state.modules, state.optimisers, state.counters(),
            state.tensors(config),
        )  # fmt: skip

    def tell(note: str) -> None:
        report.progress(f"train: {note}", state.step, config.steps)

    def answered(done: int, answers: int) -> None:
        tell(f"{done} of {answers} answers")

    # Long passes call `alive` for every token or micro-batch. `heard_by` makes each of these calls check for
    # a stop request, so a cancellation takes effect within seconds.
    report.progress("train", state.step, config.steps)
    while True:
        with saving_when_stopped(save), heard_by(report.listen), told_by(tell):
            report.check_together()
            if state.step == config.steps:
                stay_below_ceiling(config, state, prompts, answered)
                end_within_target(config, state, prompts, answered)
            show_samples(config, state, prompts, report)
            if state.step == config.steps:
                break
            started = time.perf_counter()
            batch = roll_out(config, state, prompts, answered)
        rolled_out = time.perf_counter()
        tell("updating the weights")
        with heard_by(with_grace(report.listen, seconds=UPDATE_GRACE)), told_by(tell):
            updated = update(config, state, batch)
        seconds = {
            "seconds/rollout": rolled_out - started,
            "seconds/update": time.perf_counter() - rolled_out,
        }
        report.metrics(state.step, updated | seconds)
        report.progress("train", state.step, config.steps)
        if store.due():
            save()

    save_trained(models.actor, models.tokenizer, out_dir)
    return OnPolicyResult(
        path=Path(out_dir),
        steps=config.steps,
        metrics=state.metrics | state.first,
        prompts_cut=prompts.cut,
        prompts_refused=prompts.refused,
        trained_parameters=trained.parameters,
        trained_weights=trained.names,
    )


def show_samples(
    config: RolloutConfig, state: OnPolicyState, prompts: EncodedPrompts, report: Reporter
) -> None:
    """If samples are due, report answers of the current policy together with those of the initial policy."""
    due = state.step % config.sample_every == 0 or state.step == config.steps
    if not due or state.sampled_at == state.step:
        return
    actor, after = state.models.actor, []
    # Only the first process has samples, so it can't run a sharded reference to measure their KL.
    sharded = is_sharded(actor)
    with complete_model(actor) as model, stopping_together(sharded=sharded):
        if distributed.is_first():
            after = sample_answers(
                config,
                state.models,
                prompts,
                model,
                kl_coefficient=None if sharded else state.kl.beta,
                floors=state.floors,
            )
    if distributed.is_first():
        state.before = state.before or after
        report_samples(report, state.step, prompts, state.before, after)
    state.sampled_at = state.step
