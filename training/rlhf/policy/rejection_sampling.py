"""Rejection sampling: of N answers per prompt, the policy imitates those with the highest rewards.

    result = train(RejectionSamplingConfig(), policy="…", reward_model="…", prompts=[…], out_dir="…")

One round samples and scores N answers to every prompt, selects answers (`selection.select`) and fine-tunes
the policy on them (`sft.fit`). With several rounds, the tuned policy answers the prompts again. This is RAFT
(Dong et al. 2023, arXiv 2304.06767), whose "best of K per prompt" is the default selection, `keep=top_1`.

- Each answer is scored and imitated as the same token IDs, with exactly one EOS at the end.
- A truncated answer is never kept, regardless of its score. Imitating truncated answers would teach the
  policy never to stop. An answer that is too long for a reward model has no score and is never kept either.
- Prompts without a usable answer are counted, and left out of the selection and of the best-of-n curve.
- Prompts that the policy's chat template refuses are counted and left out.
- If no prompt has two usable answers with different rewards, there is nothing to select. In this case,
  UnusableInput is raised in the first round. In a later round, the run ends, and the policy of the previous
  round is saved.

Scores are rewards in standard deviations of the reward model's training rewards, after the deduction for
`caution` (`judging.judges`). With `reward_floors`, the rewards of a round are calculated with the smallest
multipliers for which the kept answers respect the floors (`judging.floors`). Floors that depend on the
starting policy are relative to the usable answers of the first round. A step is one batch of answered
prompts, one selection or one update of the weights. Steps are counted across all rounds.

During sampling, the metrics are `reward_mean`, `reward_best`, `finished_share`, `distinct_share`, `gold_mean`
(if the gold reward is known), `reward_raw/<reward model>` (the mean in the reward model's own unit) and
`reward_spread` (if the reward model estimates its uncertainty). These metrics exclude the rewards of
truncated answers. The multipliers of floors do not affect the metrics, because the multipliers are not known
before the selection. The metrics of a selection are `best_of/<n>` (the expected reward of the best of n
answers), `gold_best_of/<n>` (the expected gold reward of the same answer), `kl_best_of/<n>` (an upper bound
on the KL divergence of this answer's distribution from the policy, in nats), `kept` and `kept_prompts`.
During fine-tuning, the metrics are those of `sft`. docs/rewards.md lists the additional metrics of runs with
several reward models.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.checkpoint import (
    CheckpointStore,
    digest,
    open_store,
    reading_state,
    save_checkpoint,
    saving_when_stopped,
)
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.messages import Messages
from training.rlhf.core.rates import rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, ShiftedReporter
from training.rlhf.core.seeds import seed_everything, seed_for
from training.rlhf.core.sharding import shards
from training.rlhf.core.shared_reporter import SharedReporter
from training.rlhf.generation.engines import open_engine
from training.rlhf.generation.interface import Engine
from training.rlhf.generation.prompts import EncodedPrompts, encode_prompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Judges, open_judges
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.loading.saving import save_trained
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.loading.trainable import dtype_of, open_trainable, trained_module, trained_weights
from training.rlhf.models.tokens import chat
from training.rlhf.policy import sft
from training.rlhf.policy.divergence import distance_from_start
from training.rlhf.policy.sample_answers import first_answers, report_samples
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.selection.candidate_file import write_candidates
from training.rlhf.selection.candidates import (
    Candidates,
    Gold,
    batch_metrics,
    from_tensors,
    join,
    no_candidates,
    sample_batch,
)
from training.rlhf.selection.selection import (
    curves,
    floor_metrics,
    nothing_kept,
    rows_of,
    selected,
    selection_metrics,
    settled,
)

# Peak learning rates for models with 2M and 1B parameters. These rates are lower than those in `sft`, because
# the policy is already trained. With 512 demo prompts, the gold reward per answer was 1.57 before training.
# The gold reward rose to 1.76 at a peak rate of 1e-3, and to 1.95 at 3e-4 (standard error 0.08).
RATE_AT_2M, RATE_AT_1B = 3e-4, 1e-5

ANSWERS_PER_BATCH = 256  # number of answers between two reports, and between two possible checkpoints


@dataclass(frozen=True)
class RejectionSamplingResult:
    """The saved policy and the figures of the last complete round.

    `best_of` maps n to the expected reward of the best of n answers, for every n up to N, and `gold_best_of`
    to the expected gold reward of the same answer (empty if unknown). `kept` is the number of answers that
    were imitated, over all rounds. `distance` is the distance from the starting policy, as in `SFTResult`.
    `rounds` is the number of completed rounds. `prompts_refused` counts the prompts that the chat template
    refuses, `prompts_cut` the truncated prompts, and `prompts_unfinished` the prompts without a usable answer
    in the last round.
    """

    path: Path
    steps: int
    rounds: int
    prompts: int
    prompts_cut: int
    prompts_refused: int
    prompts_unfinished: int
    kept: int
    distance: dict[str, float]
    trained_parameters: int
    trained_weights: list[str]
    reward_mean: float
    reward_best: float
    best_of: dict[int, float]
    gold_best_of: dict[int, float]
    loss: float
    heldout_loss: float | None
    seconds: float


@dataclass
class LoopProgress:
    """The counters of the loop's state, saved as JSON. The rest of the state is the policy, the optimiser and
    the candidates.

    `round` counts from 1. `tuned_from` is the step after which the current round's fine-tuning began, and
    `fit` is the progress of this fine-tuning (`sft.FitProgress`). Both are None while the round's answers are
    being sampled. `kept` counts the imitated answers. `loss` and `heldout_loss` are those of the last
    complete round. `before` contains the sample answers of the starting policy. `floors` is the floors' state
    after the most recent selection. This state contains the floors' values, which were determined in the
    first round. `micro_batch_tokens` is the limit of token positions in fine-tuning, as in `sft.FitProgress`.
    """

    step: int = 0
    round: int = 1
    tuned_from: int | None = None
    fit: dict[str, Any] | None = None
    kept: int = 0
    loss: float | None = None
    heldout_loss: float | None = None
    before: list[list[int]] | None = None
    floors: FloorState | None = None
    micro_batch_tokens: int = 0


@dataclass
class State:
    """Everything that a checkpoint contains. `candidates` has one entry per round that has begun."""

    policy: Loaded
    optimiser: Optimizer
    progress: LoopProgress
    candidates: list[Candidates] = field(default_factory=list)

    def save(self, store: CheckpointStore, report: Reporter) -> None:
        data = {
            f"{number}/{name}": values
            for number, one in enumerate(self.candidates, start=1)
            for name, values in one.tensors().items()
        }
        modules, optimisers = {"policy": trained_module(self.policy.model)}, {"policy": self.optimiser}
        save_checkpoint(store, report, self.progress.step, modules, optimisers, asdict(self.progress), data)

    def resume(self, store: CheckpointStore, n: int) -> LoopProgress:
        """If there is a checkpoint, restore the state from the newest one. Return the state's progress."""
        resumed = store.resume({"policy": trained_module(self.policy.model)}, {"policy": self.optimiser})
        if resumed is None:
            return self.progress
        with reading_state():
            self.progress = LoopProgress(**resumed.counters)
            sft.FitProgress(**(self.progress.fit or {}))
            rounds: dict[int, dict[str, Tensor]] = {}
            for name, values in resumed.data.items():
                number, column = name.split("/", 1)
                rounds.setdefault(int(number), {})[column] = values
            self.candidates = [from_tensors(rounds[number], n) for number in sorted(rounds)]
        return self.progress


def train(
    config: RejectionSamplingConfig,
    *,
    policy: ModelSource,
    reward_model: ModelSource | Mapping[str, ModelSource],
    prompts: Sequence[Messages],
    out_dir: str | Path,
    gold: Gold | None = None,
    candidates: str | Path | None = None,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> RejectionSamplingResult:
    """Sample answers, choose the best, fine-tune the policy and save it. A `Loaded` policy is trained in
    place.

    `reward_model` is one reward model or several named reward models. `gold` is the true reward, if known.
    The true reward is only reported and does not affect the run. `candidates` names the file to which all
    answers are written (`candidate_file.write_candidates`). If `checkpoints` is a folder, a stopped or killed
    run resumes from it when the call is repeated. On a CPU, the weights and the candidates are then bitwise
    equal to those of an uninterrupted run.

    Raises `ModelNotFound`, `ValueError` (no prompts, or no answer worth keeping), `TrainingDiverged` and
    `Cancelled`. If an exception is raised, neither the model nor the candidates are written.
    """
    started, report = time.monotonic(), SharedReporter(report or NullReporter(), in_step=shards(config))
    seed_everything(config.seed)
    loaded = open_trainable(policy, config, out_dir=out_dir)
    sources = reward_model if isinstance(reward_model, Mapping) else {"reward_model": reward_model}
    judges = open_judges(sources, config, policy=loaded, dtype=dtype_of(config))
    room = min(config.max_length, chat.context_length(loaded.model)) - config.max_new_tokens
    asked = encode_prompts(loaded.tokenizer, prompts, limit=room)
    config = with_learning_rate(config, loaded.model)
    trained = trained_weights({"policy": trained_module(loaded.model)})
    store = open_store(checkpoints, config, of=identity(loaded, judges, asked))
    if config.gradient_checkpointing:
        recompute_layers(loaded.model)
    state = State(loaded, sft.new_optimizer(loaded.model, config), LoopProgress())
    progress = state.resume(store, config.samples_per_prompt)
    if progress.before is None:
        progress.before = first_answers(config, loaded, asked, report.check)

    engine = open_engine(config)
    while progress.round <= config.rounds:
        sample_round(config, state, engine, judges, asked, gold, store, report)
        kept = select_answers(config, state, judges, store, report)
        if not any(kept):
            break
        tune_round(config, state, judges, asked, kept, store, report)

    tuned = state.candidates[: progress.round - 1]
    if not tuned:
        raise UnusableInput(nothing_kept(config, len(asked.ids), progress.floors), FailureKind.NOTHING_KEPT)
    with saving_when_stopped(lambda: state.save(store, report)):
        after = first_answers(config, loaded, asked, report.check)
        floors = progress.floors or judges.initial_state()
        distance = distance_from_start(
            config, loaded, policy, asked.messages, optimiser=state.optimiser, check=report.check
        )
        report_samples(progress.step, judges, floors, asked, progress.before, after, report)
        report.check()
    if candidates is not None and distributed.is_first():
        write_candidates(
            Path(candidates),
            [(one, selected(config, one, one.texts(loaded.tokenizer))) for one in state.candidates],
            messages=asked.messages,
            prompts=asked.ids,
            tokenizer=loaded.tokenizer,
        )
    best, gold_best, unfinished = curves(tuned[-1])
    assert progress.loss is not None
    save_trained(loaded.model, loaded.tokenizer, out_dir)
    return RejectionSamplingResult(
        path=Path(out_dir),
        steps=progress.step,
        rounds=len(tuned),
        prompts=len(asked.ids),
        prompts_cut=asked.cut,
        prompts_refused=asked.refused,
        prompts_unfinished=unfinished,
        kept=progress.kept,
        distance=distance,
        trained_parameters=trained.parameters,
        trained_weights=trained.names,
        reward_mean=best[1],
        reward_best=best[config.samples_per_prompt],
        best_of=best,
        gold_best_of=gold_best,
        loss=progress.loss,
        heldout_loss=progress.heldout_loss,
        seconds=time.monotonic() - started,
    )


def sample_round(
    config: RejectionSamplingConfig,
    state: State,
    engine: Engine,
    judges: Judges,
    asked: EncodedPrompts,
    gold: Gold | None,
    store: CheckpointStore,
    report: Reporter,
) -> None:
    """Sample and score the round's remaining answers, batch by batch."""
    progress, n = state.progress, config.samples_per_prompt
    if len(state.candidates) < progress.round:
        state.candidates.append(no_candidates(n))
    total, phase = len(asked.ids), phase_name("sample", config, progress)

    def told(done: int, note: str) -> None:
        report.progress(f"{phase}: {note}" if note else phase, start + done, total)

    with complete_model(state.policy.model) as model:
        policy = Loaded(model, state.policy.tokenizer)
        while (start := state.candidates[-1].n_prompts) < total:
            chosen = range(start, min(total, start + max(1, ANSWERS_PER_BATCH // n)))
            with saving_when_stopped(lambda: state.save(store, report)):
                report.check()
                batch, judged = sample_batch(
                    config, policy, engine, judges, asked, gold, chosen, progress.round, report.check, told
                )
            state.candidates[-1] = join(state.candidates[-1], batch)
            progress.step += 1
            report.metrics(progress.step, batch_metrics(batch, judged, judges, state.policy))
            report.progress(phase, chosen.stop, total)
            if store.due():
                state.save(store, report)


def select_answers(
    config: RejectionSamplingConfig,
    state: State,
    judges: Judges,
    store: CheckpointStore,
    report: Reporter,
) -> list[list[int]]:
    """Return the positions of the kept answers to each prompt. With floors, set the round's rewards so that
    the kept answers respect the floors."""
    progress, candidates = state.progress, state.candidates[-1]
    texts = candidates.texts(state.policy.tokenizer)
    floors = progress.floors or judges.initial_state()
    if progress.tuned_from is None:
        with saving_when_stopped(lambda: state.save(store, report)):
            found = settled(config, judges, floors, candidates, texts, report.check)
        state.candidates[-1], progress.floors = found
    return selected(config, state.candidates[-1], texts)


def tune_round(
    config: RejectionSamplingConfig,
    state: State,
    judges: Judges,
    asked: EncodedPrompts,
    kept: Sequence[Sequence[int]],
    store: CheckpointStore,
    report: Reporter,
) -> None:
    """Fine-tune the policy on the kept answers, and begin the next round."""
    progress, candidates = state.progress, state.candidates[-1]
    tuning = tuning_config(config, progress.round)
    if progress.tuned_from is None:
        progress.step += 1
        progress.tuned_from = progress.step
        floors = progress.floors or judges.initial_state()
        of_rewards = floor_metrics(judges, floors, candidates, kept)
        report.metrics(progress.step, selection_metrics(candidates, kept) | of_rewards)
        seed_everything(tuning.seed)
        state.optimiser = sft.new_optimizer(state.policy.model, tuning)
    began = progress.tuned_from

    def save(fitted: sft.FitProgress) -> None:
        progress.step, progress.fit = began + fitted.step, asdict(fitted)
        state.save(store, report)

    fitted = sft.fit(
        tuning,
        *state.policy,
        rows_of(candidates, asked, kept),
        ShiftedReporter(report, by=began, phase=phase_name("train", config, progress)),
        optimiser=state.optimiser,
        progress=sft.FitProgress(**(progress.fit or {"micro_batch_tokens": progress.micro_batch_tokens})),
        save=save,
        due=store.due,
    )
    progress.step = began + fitted.step
    progress.loss, progress.heldout_loss = fitted.loss, fitted.heldout_loss
    progress.micro_batch_tokens = fitted.micro_batch_tokens
    progress.kept += sum(map(len, kept))
    progress.round, progress.tuned_from, progress.fit = progress.round + 1, None, None


def with_learning_rate(config: RejectionSamplingConfig, policy: PreTrainedModel) -> RejectionSamplingConfig:
    """Return the settings, with a default learning rate if they contain none. This default is lower than that
    of `sft`."""
    rate = config.learning_rate or rate_for(
        policy, at_2m=RATE_AT_2M, at_1b=RATE_AT_1B, adapter=config.use_peft
    )
    return config.model_copy(update={"learning_rate": rate})


def tuning_config(config: RejectionSamplingConfig, round: int) -> RejectionSamplingConfig:
    """Return the settings of a round's fine-tuning (`sft.fit`). The first round uses the run's own seed."""
    seed = config.seed if round == 1 else seed_for(config.seed, "tuning", round) % 2**31
    return config.model_copy(update={"seed": seed})


def identity(policy: Loaded, judges: Judges, asked: EncodedPrompts) -> dict[str, Any]:
    """Return digests of the run's inputs. A run resumes only with the same inputs."""
    return {
        "prompts": digest(asked.ids),
        "policy": fingerprint({"policy": policy.model}),
        # The digest includes the names, so renaming a reward model changes the inputs of a run.
        "reward models": digest([[one.name, fingerprint({"model": one.model})] for one in judges.judges]),
    }


def phase_name(what: str, config: RejectionSamplingConfig, progress: LoopProgress) -> str:
    return what if config.rounds == 1 else f"{what}, round {progress.round} of {config.rounds}"
