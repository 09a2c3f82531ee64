"""Direct preference optimisation: a policy learns from rankings, without a reward model and without sampling.

    result = train(DPOConfig(), base_model="path or hub name", rankings=[…], out_dir="…", report=…)

The reference is the starting policy. Its log-probabilities are computed once, before the first update, and
kept in the checkpoints, so only one model is in memory. A ranking of K responses goes through the model once,
as K rows, no matter how many pairs it contains.

Every step reports the following metrics. A pair consists of a preferred (chosen) and a rejected response:

- `loss`: the mean over the step's rankings. With `loss=dpo`, it is in nats per pair.
- `rewards/chosen`, `rewards/rejected`, `rewards/margins`: the implicit rewards beta · (log pi - log pi_ref)
  of the two responses, and the difference between them. With length_normalised, the log-ratio is the mean per
  token.
- `rewards/accuracies`: the share of pairs whose chosen response has the higher implicit reward. A pair with
  equal rewards counts as half.
- `logps/chosen`, `logps/rejected`: log-probabilities of whole responses, in nats.
- `nll_loss`, with sft_coefficient: negative log-likelihood of the best responses, in nats per token.
- `learning_rate`, `grad_norm` (before clipping) and `tokens_per_second` (including padding).
- `parameters/change`, with an adapter: the norm of the change of the weights since the start of training.

Evaluations add `heldout/loss`, `heldout/accuracy`, `heldout/margins` and `heldout/pairs`. The result also
contains `objective/kl`, the KL divergence from the starting policy in nats per sampled answer, and
`parameters/change`, with or without an adapter.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.alive import counted, counting, told_by
from training.rlhf.core.checkpoint import open_store, reading_state, saving_when_stopped
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.masters import clipped_norm, optimised, optimiser_over, update_weights
from training.rlhf.core.memory import lowered_metric, until_it_fits
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, TrainingDiverged
from training.rlhf.core.seeds import batches_in_random_order, seed_everything
from training.rlhf.core.sharding import in_step, is_sharded, shards
from training.rlhf.core.shared_reporter import SharedReporter
from training.rlhf.data.batching import digest_of
from training.rlhf.data.rankings import Ranking, count_repeats, split_by_prompt
from training.rlhf.generation.likely import likely_texts
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.loading.saving import save_trained
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.loading.trainable import (
    change_from_start,
    open_trainable,
    trained_module,
    trained_weights,
)
from training.rlhf.models.tokens import chat
from training.rlhf.policy.divergence import distance_from_start
from training.rlhf.policy.dpo_loss import reference_of, summed_loss
from training.rlhf.policy.preference_metrics import pair_metrics
from training.rlhf.policy.preference_rows import (
    RankingRows,
    count_pairs,
    encode_preferences,
    nothing_to_learn_from,
    usable_prompts,
)
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.reward.encoding import count_control_tokens

RATE_AT_2M, RATE_AT_1B = 3e-4, 1e-6  # peak learning rates for models with 2M and 1B parameters


@dataclass(frozen=True, slots=True)
class DPOResult:
    """The path of the saved policy, with the metrics of the last step and of the last evaluation.

    ``rankings`` and ``pairs`` count those used for training. ``left_out`` counts the rankings that could not
    be used, by reason (held-out rankings as ``heldout/…``). ``prompts_cut`` counts truncated prompts.
    ``control_tokens_removed`` counts the rankings in which a prompt or a response spells out a control token.
    ``repeats`` counts duplicate rankings and contradicted pairs (see `rankings.count_repeats`).
    """

    path: Path
    steps: int
    metrics: dict[str, float]
    rankings: int
    pairs: int
    left_out: dict[str, int]
    prompts_cut: int
    trained_parameters: int
    trained_weights: list[str]
    control_tokens_removed: int
    repeats: dict[str, int]


@dataclass
class DPOState:
    """The state that changes during the run. Checkpoints contain all of it.

    ``reference`` has one entry per response (see `RankingRows`): the response's log-probability under the
    starting policy, in nats. The entries of the first ``referenced`` micro-batches of the reference pass have
    been computed. ``step`` counts updates. ``reported`` is the last step whose evaluation and report are
    complete. ``before`` contains the starting policy's answers to the sample prompts. ``micro_batch_tokens``
    is the recipe's limit, or less if the device ran out of memory.
    """

    policy: PreTrainedModel
    optimiser: torch.optim.Optimizer
    reference: Tensor
    micro_batch_tokens: int
    referenced: int = 0
    step: int = 0
    reported: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    heldout: dict[str, float] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"policy": trained_module(self.policy)}

    @property
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"policy": self.optimiser}

    @property
    def counters(self) -> dict[str, Any]:
        names = ("micro_batch_tokens", "referenced", "step", "reported", "metrics", "heldout", "before")
        return {name: getattr(self, name) for name in names}


def train(
    config: DPOConfig,
    *,
    base_model: ModelSource,
    rankings: Sequence[Ranking],
    heldout: Sequence[Ranking] = (),
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> DPOResult:
    """Train on ``rankings``, save the policy to ``out_dir``, and return the result. A `Loaded` base model is
    trained in place.

    ``base_model`` should be the policy that wrote the responses, because it is also the reference. By
    default, ``heldout`` is a part of ``rankings``, split by prompt. A ranking that was marked as not rankable
    has no order, so it is not among ``rankings``. In a ranking marked all-bad, the order counts as in any
    other ranking, but the best responses are not imitated (``sft_coefficient``).

    If ``checkpoints`` is a folder and the process is killed or stopped, repeating the call resumes from the
    newest checkpoint. On a CPU, the result is bitwise equal to that of an uninterrupted run. Raises
    CheckpointRefused if the folder contains checkpoints of a run with other inputs, UnusableInput if there is
    no preference to learn from, and TrainingDiverged if the loss or the gradient is not finite.
    """
    report = SharedReporter(report or NullReporter(), in_step=shards(config))
    seed_everything(config.seed)
    repeats = count_repeats([*rankings, *heldout])
    if not heldout:
        rankings, heldout = split_by_prompt(rankings, heldout_fraction=config.heldout_fraction)
    policy, tokenizer = open_trainable(base_model, config, out_dir=out_dir)
    limit = min(config.max_length, chat.context_length(policy))
    groups, left_out, prompts_cut = encode_preferences(
        rankings, tokenizer, ties=config.ties, max_length=limit
    )
    others, others_left_out, _ = encode_preferences(heldout, tokenizer, ties=config.ties, max_length=limit)
    left_out |= {f"heldout/{reason}": number for reason, number in others_left_out.items()}
    if not groups:
        raise nothing_to_learn_from(left_out, heldout=len(heldout))
    rows = RankingRows.of(
        groups,
        others,
        pad_id=chat.pad_id(tokenizer),
        max_tokens=config.micro_batch_tokens,
        policy=policy,
    )
    steps = batches_in_random_order(
        config.seed, "order", len(groups), size=config.batch_rankings, epochs=config.epochs
    )
    total, warmup = len(steps), round(config.warmup_fraction * len(steps))
    evaluate_at = {round(total * n / config.evaluations) for n in range(1, config.evaluations + 1)}
    # The reference pass uses the micro-batches of the first epoch and of the evaluations. Margins are then
    # exactly 0 before the first update. In other micro-batches, sums would be rounded differently.
    first_epoch = steps[: math.ceil(len(groups) / config.batch_rankings)]
    reference_parts = [part for step in [*first_epoch, rows.heldout] for part in rows.micro_batches(step)]
    shortest = rows.shortest(range(len(rows.groups)))
    # The processes can have different numbers of micro-batches, but all must take part in every exchange.
    reference_parts += [[]] * (int(distributed.highest(len(reference_parts))) - len(reference_parts))

    peak = config.learning_rate or rate_for(
        policy, at_2m=RATE_AT_2M, at_1b=RATE_AT_1B, adapter=config.use_peft
    )
    settings: dict[str, Any] = {"lr": peak, "weight_decay": config.weight_decay}
    optimiser = optimiser_over(trained_module(policy), partial(torch.optim.AdamW, fused=True, **settings))
    state = DPOState(policy, optimiser, torch.zeros(rows.n_responses), config.micro_batch_tokens)
    of = {
        "rankings": digest_of(groups),
        "heldout rankings": digest_of(others),
        "base model": fingerprint({"policy": policy}),
    }
    trained = trained_weights(state.modules)
    if config.gradient_checkpointing:
        recompute_layers(policy)
    store = open_store(checkpoints, config, of=of)
    resumed = store.resume(state.modules, state.optimisers)
    if resumed:
        with reading_state():
            state = DPOState(policy, optimiser, resumed.data["reference"], **resumed.counters)

    def save() -> None:
        report.flush()
        # Checkpoint numbers must increase during the reference pass, too.
        number, data = state.referenced + state.step, {"reference": state.reference}
        if store.save(number, state.modules, state.optimisers, state.counters, data):
            report.checkpoint(state.step)

    # 1. Let the starting policy answer the sample prompts.
    prompts = usable_prompts([*heldout, *rankings], tokenizer, max(config.sample_prompts, config.kl_samples))
    shown = prompts[: config.sample_prompts]
    answer = partial(
        likely_texts, Loaded(policy, tokenizer), shown, max_tokens=config.sample_tokens, check=report.check
    )
    if resumed is None:
        state.before = answer()

    # 2. Compute the reference log-probabilities with the starting policy.
    for number, part in enumerate(reference_parts, start=1):
        if number > state.referenced:
            with saving_when_stopped(save):
                report.check()
            add_to_reference(state, rows, part, spare=shortest)
            state.referenced = number
            report.progress("reference", number, len(reference_parts))
            if store.due():
                save()

    # 3. Train.
    def tell(note: str) -> None:
        report.progress(f"train: {note}", state.step, total)

    report.progress("train", state.step, total)
    for step, indices in enumerate(steps, start=1):
        if step > state.step:
            rate = peak * rate_factor(config.schedule, step - 1, total, warmup=warmup)
            try:
                with saving_when_stopped(save), told_by(tell):
                    update(config, state, rows, indices, step=step, rate=rate, check=report.check)
            except TrainingDiverged:
                save()  # the weights from before the step help to find the cause
                raise
        if step > state.reported:
            evaluated: dict[str, float] = {}
            if rows.heldout and step in evaluate_at:
                with saving_when_stopped(save), told_by(tell):
                    evaluated = evaluate(config, state, rows, report.check)
                state.heldout = evaluated
            report.metrics(step, state.metrics | evaluated)
            report.progress("train", step, total)
            state.reported = step
            if store.due():
                save()

    # 4. Answer the sample prompts again, measure the distance from the starting policy, and save the policy.
    with saving_when_stopped(save):
        after = answer()
    for messages, old, new in zip(shown, state.before, after, strict=True):
        report.sample(total, messages=messages, before=old, after=new, scores={})
    result = {name: value for name, value in state.metrics.items() if name != "tokens_per_second"}
    result |= state.heldout
    with saving_when_stopped(save):
        result |= distance_from_start(
            config,
            Loaded(policy, tokenizer),
            base_model,
            prompts,
            optimiser=optimiser,
            check=report.check,
        )
    save_trained(policy, tokenizer, out_dir)
    return DPOResult(
        path=Path(out_dir),
        steps=state.step,
        metrics=result,
        rankings=len(groups),
        pairs=sum(count_pairs(group, ties=config.ties) for group in groups),
        left_out=left_out,
        prompts_cut=prompts_cut,
        trained_parameters=trained.parameters,
        trained_weights=trained.names,
        control_tokens_removed=count_control_tokens([*rankings, *heldout], tokenizer),
        repeats=repeats,
    )


def update(
    config: DPOConfig,
    state: DPOState,
    rows: RankingRows,
    indices: Sequence[int],
    *,
    step: int,
    rate: float,
    check: Callable[[], None],
) -> None:
    """Update the weights once, with the gradients of these rankings. ``check`` can stop the update before the
    weights change."""
    started, weight = time.perf_counter(), rows.weight(indices)
    sums = add_gradients(config, state, rows, indices, check)
    mean, grad_norm = sums["loss"] / weight, clipped_norm(state.optimiser, config.max_grad_norm)
    if not (math.isfinite(mean) and math.isfinite(grad_norm)):
        raise TrainingDiverged(
            f"Training diverged at step {step}: loss {mean}, gradient norm {grad_norm}. No model"
            " was saved. Lower learning_rate or max_grad_norm, or check the rankings of this batch: "
            + rows.names(indices)
        )
    update_weights(state.optimiser, rate=rate)
    state.step = step
    state.metrics = {
        "loss": mean,
        **pair_metrics(sums),
        **({"nll_loss": sums["nll_loss"] / weight} if config.sft_coefficient else {}),
        "learning_rate": rate,
        "grad_norm": grad_norm,
        "tokens_per_second": sums["positions"] / (time.perf_counter() - started),
        **change_from_start(state.policy),
        **lowered_metric(state, config.micro_batch_tokens),
    }


def backward(
    config: DPOConfig,
    state: DPOState,
    rows: RankingRows,
    indices: Sequence[int],
    check: Callable[[], None],
) -> Counter[str]:
    weight, sums, parts = rows.weight(indices), Counter[str](), rows.micro_batches(indices)

    def process(part: list[int], counts: bool) -> None:
        loss, found = summed_loss(config, state.policy, state.reference, rows, part)
        # Losses are divided by the entire batch's weight, so the losses of micro-batches simply add up.
        torch.autograd.backward(loss / weight if counts else 0 * loss)
        sums.update(found if counts else {})
        counted(len(part) if counts else 0)

    in_step(state.policy, parts, lambda: rows.shortest(indices), process, check=check)
    return sums


def add_gradients(
    config: DPOConfig,
    state: DPOState,
    rows: RankingRows,
    indices: Sequence[int],
    check: Callable[[], None],
) -> Counter[str]:
    """Add the gradients of these rankings, and return the sums for the metrics.

    If the device of a process runs out of memory, all processes compute the gradients again with half the
    limit of token positions (`until_it_fits`). Later steps also use the lower limit."""
    with counting(len(rows.mine(indices)), "rankings of the batch"):
        sums = until_it_fits(
            lambda: backward(config, state, rows.limited(state.micro_batch_tokens), indices, check),
            state,
            largest=lambda: largest_of(state, rows, rows.mine(indices)),
            optimisers=[state.optimiser],
            what=f"step {state.step + 1}",
        )
    distributed.sum_gradients(optimised(state.optimiser))
    return Counter(distributed.add_up(sums))


def largest_of(state: DPOState, rows: RankingRows, indices: Sequence[int]) -> int:
    """Return the size of the largest divisible pass over these rankings, in token positions."""
    limited = rows.limited(state.micro_batch_tokens)
    return limited.largest(limited.split(indices), sharded=is_sharded(state.policy))


@torch.no_grad()
def add_to_reference(
    state: DPOState, rows: RankingRows, part: Sequence[int], *, spare: Sequence[int] = ()
) -> None:
    """Set the reference log-probabilities of these rankings' responses to the policy's log-probabilities (see
    `reference_of`)."""
    found = until_it_fits(
        lambda: reference_of(state.policy, rows.limited(state.micro_batch_tokens), part, spare=spare),
        state,
        largest=lambda: largest_of(state, rows, part),
        what="the reference pass",
    )
    for indices, log_probs in itertools.chain(*distributed.gather_objects(found)):
        state.reference[rows.places(indices)] = log_probs


@torch.no_grad()
def evaluate(
    config: DPOConfig, state: DPOState, rows: RankingRows, check: Callable[[], None]
) -> dict[str, float]:
    """Return the metrics of the held-out rankings: the mean loss per ranking, and means over the pairs."""

    def work() -> Counter[str]:
        limited, sums = rows.limited(state.micro_batch_tokens), Counter[str]()
        parts = limited.micro_batches(rows.heldout)

        def process(part: list[int], counts: bool) -> None:
            found = summed_loss(config, state.policy, state.reference, limited, part)[1]
            sums.update(found if counts else {})
            counted(len(part) if counts else 0)

        in_step(state.policy, parts, lambda: rows.shortest(rows.heldout), process, check=check)
        return sums

    with counting(len(rows.mine(rows.heldout)), "held-out rankings"):
        mine = until_it_fits(
            work,
            state,
            largest=lambda: largest_of(state, rows, rows.mine(rows.heldout)),
            what=f"the evaluation after step {state.step}",
        )
    sums = Counter(distributed.add_up(mine))
    means = {"heldout/loss": sums["loss"] / rows.weight(rows.heldout), "heldout/pairs": sums["pairs"]}
    if of_pairs := pair_metrics(sums):
        means["heldout/accuracy"] = of_pairs["rewards/accuracies"]
        means["heldout/margins"] = of_pairs["rewards/margins"]
    return means
