"""Supervised fine-tuning: a policy imitates demonstrations. The loss covers only the tokens of the responses.

    result = train(SFTConfig(), base_model="path or hub name", demonstrations=[…], out_dir="…", report=…)

The metrics at every step are `loss`, `learning_rate`, `grad_norm`, `padding_share` and `tokens_per_second`.
The loss is in nats per response token and is computed before the step's update. The gradient norm is measured
before clipping. `padding_share` is the share of padding among all token positions of the step. With an
adapter, `parameters/change` is the norm of the change of the weights since the start of training.
`tokens_per_second` counts prompts and responses, without padding. If there are held-out demonstrations, some
steps also report `heldout_loss`, which is measured after the step's update.

The model stays in eval mode: dropout would make the loss differ from the log-probabilities that sampling and
later training compute.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.alive import counted, counting, told_by
from training.rlhf.core.checkpoint import (
    digest,
    open_store,
    reading_state,
    save_checkpoint,
    saving_when_stopped,
)
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.masters import clipped_norm, optimised, optimiser_over, update_weights
from training.rlhf.core.memory import lowered_metric, until_it_fits
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, require_finite
from training.rlhf.core.seeds import batches_in_random_order, seed_everything
from training.rlhf.core.sharding import in_step, shards
from training.rlhf.core.shared_reporter import SharedReporter
from training.rlhf.data.demonstrations import Row, encode, split_by_prompt
from training.rlhf.data.packing import Batch, largest_divisible, layout_for, micro_batches
from training.rlhf.generation.likely import likely_texts
from training.rlhf.models.forward.logprobs import token_log_probs
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
from training.rlhf.recipes.sft import SFTConfig

RATE_AT_2M, RATE_AT_1B = 3e-3, 2e-5  # peak learning rates for models with 2M and 1B parameters

HELDOUT_MEASUREMENTS = 10  # number of evaluations per run; each evaluation reads all held-out rows

# For AdamW. A β₂ of 0.999 would average squared gradients over more steps than a short run has.
BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class SFTResult:
    """The final `loss` and `heldout_loss` are in nats per response token. `rows` is the number of usable
    demonstrations. `left_out` counts the other demonstrations by reason (`demonstrations.encode`).
    `prompts_cut` counts truncated prompts. `distance` contains `objective/kl` and `parameters/change`, the
    distance from the base model (`divergence.distance_from_start`). `trained_weights` contains
    the names of the trained weights (`trainable.grouped`)."""

    path: Path
    steps: int
    rows: int
    loss: float
    heldout_loss: float | None
    left_out: dict[str, int]
    prompts_cut: int
    distance: dict[str, float]
    trained_parameters: int
    trained_weights: list[str]
    seconds: float


@dataclass
class FitProgress:
    """The position and the results of `fit`, stored as JSON in checkpoints. The recipe's seed determines the
    data order, so the number of completed steps also gives the position in the data. `metrics` are those of
    the last step. If the run was stopped during that step's evaluation, `reported` is lower than `step`.
    `micro_batch_tokens` is 0 until `fit` begins, and then the recipe's limit, or less if the device ran out
    of memory."""

    step: int = 0
    reported: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    loss: float = math.nan
    heldout_loss: float | None = None
    micro_batch_tokens: int = 0


def train(
    config: SFTConfig,
    *,
    base_model: ModelSource,
    demonstrations: Sequence[Demonstration],
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> SFTResult:
    """Train, save to `out_dir`, and return the result. A `Loaded` base model is trained in place.

    If `checkpoints` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the resumed run's weights and metrics are bitwise equal to those of an uninterrupted
    run. The checkpoint folder is not removed.

    Raises `ModelNotFound`, `ValueError` (if there is nothing to learn from), `TrainingDiverged`,
    `CheckpointRefused` and `Cancelled`. If an exception is raised, no model is written.
    """
    started, report = time.monotonic(), SharedReporter(report or NullReporter(), in_step=shards(config))
    seed_everything(config.seed)
    policy, tokenizer = open_trainable(base_model, config, out_dir=out_dir)
    data = encode(demonstrations, tokenizer, min(config.max_length, chat.context_length(policy)))
    shown = data.first_prompts(config.sample_prompts)
    modules, optimisers = {"model": trained_module(policy)}, {"all": new_optimizer(policy, config)}
    of = {
        "demonstrations": digest([(row.prompt, row.response) for row in data.rows]),
        "base model": fingerprint({"model": policy}),
    }
    if config.gradient_checkpointing:
        recompute_layers(policy)
    trained = trained_weights(modules)
    store = open_store(checkpoints, config, of=of)
    answer = partial(
        likely_texts,
        Loaded(policy, tokenizer),
        shown,
        max_tokens=config.sample_tokens,
        check=report.check,
    )
    resumed = store.resume(modules, optimisers)
    if resumed:
        with reading_state():
            progress, before = FitProgress(**resumed.counters["progress"]), resumed.counters["before"]
    else:
        progress = FitProgress()
        before = answer()

    def save(progress: FitProgress) -> None:
        counters = {"progress": asdict(progress), "before": before}
        save_checkpoint(store, report, progress.step, modules, optimisers, counters)

    progress = fit(
        config,
        policy,
        tokenizer,
        data.rows,
        report,
        optimiser=optimisers["all"],
        progress=progress,
        save=save,
        due=store.due,
    )
    with saving_when_stopped(lambda: save(progress)):
        after = answer()
        report.check()
        distance = distance_from_start(
            config,
            Loaded(policy, tokenizer),
            base_model,
            data.first_prompts(config.kl_samples),
            optimiser=optimisers["all"],
            check=report.check,
        )
    for messages, old, new in zip(shown, before, after, strict=True):
        report.sample(progress.step, messages=messages, before=old, after=new, scores={})
    save_trained(policy, tokenizer, out_dir)
    return SFTResult(
        path=Path(out_dir),
        steps=progress.step,
        rows=len(data.rows),
        loss=progress.loss,
        heldout_loss=progress.heldout_loss,
        left_out=data.left_out,
        prompts_cut=data.prompts_cut,
        distance=distance,
        trained_parameters=trained.parameters,
        trained_weights=trained.names,
        seconds=time.monotonic() - started,
    )


def fit(
    config: SFTConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    report: Reporter,
    *,
    optimiser: torch.optim.Optimizer,
    progress: FitProgress | None = None,
    save: Callable[[FitProgress], None] = lambda progress: None,
    due: Callable[[], bool] = lambda: False,
) -> FitProgress:
    """Train `policy` in place on `rows` and return the final progress.

    `optimiser` comes from `new_optimizer`. If `progress` comes from an earlier call, training continues after
    `progress.step`. The weights and the optimiser's moments must then be those after this step. `due` is
    called after every step. `save` is called if `due` returns true, or if the reporter stops the loop. When
    `save` is called, the weights, the moments and the progress belong to the same step.
    """
    progress = progress or FitProgress()
    progress.micro_batch_tokens = progress.micro_batch_tokens or config.micro_batch_tokens
    policy.train(False)
    learned, heldout = split_by_prompt(rows, config.heldout_share)
    total = config.epochs * math.ceil(len(learned) / config.batch_size)
    peak = peak_rate(config, policy)
    warmup = math.ceil(total * config.warmup_share)
    evaluate_at = {round(total * n / HELDOUT_MEASUREMENTS) for n in range(1, HELDOUT_MEASUREMENTS + 1)}

    def tell(note: str) -> None:
        report.progress(f"train: {note}", progress.step, total)

    def end_step() -> None:
        if heldout and progress.step in evaluate_at:
            with saving_when_stopped(lambda: save(progress)), told_by(tell):
                found = mean_loss(config, policy, tokenizer, heldout, check=report.check, progress=progress)
            progress.heldout_loss = progress.metrics["heldout_loss"] = found
        report.metrics(progress.step, progress.metrics)
        report.progress("train", progress.step, total)
        progress.reported = progress.step

    report.progress("train", progress.step, total)
    if progress.reported < progress.step:
        end_step()
    order = batches_in_random_order(
        config.seed, "order of demonstrations", len(learned), size=config.batch_size, epochs=config.epochs
    )
    for indices in order[progress.step :]:
        started, batch = time.monotonic(), [learned[i] for i in indices]
        with saving_when_stopped(lambda: save(progress)), told_by(tell):
            loss, padding = add_gradients(
                config,
                policy,
                tokenizer,
                batch,
                check=report.check,
                progress=progress,
                optimisers=[optimiser],
            )
            distributed.sum_gradients(optimised(optimiser))
        grad_norm = clipped_norm(optimiser, config.max_grad_norm)
        require_finite(progress.step + 1, {"loss": loss, "grad_norm": grad_norm})
        rate = peak * rate_factor(config.schedule, progress.step, total, warmup=warmup)
        update_weights(optimiser, rate=rate)
        progress.step, progress.loss = progress.step + 1, loss
        progress.metrics = {
            "loss": loss,
            "learning_rate": rate,
            "grad_norm": grad_norm,
            "padding_share": padding,
            "tokens_per_second": sum(row.length for row in batch) / (time.monotonic() - started),
            **change_from_start(policy),
            **lowered_metric(progress, config.micro_batch_tokens),
        }
        end_step()
        if due():
            save(progress)
    return progress


def add_gradients(
    config: SFTConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    *,
    check: Callable[[], None] = lambda: None,
    progress: FitProgress | None = None,
    optimisers: Collection[torch.optim.Optimizer] = (),
) -> tuple[float, float]:
    """Add the gradients of the mean loss over `rows`. Return the loss in nats per response token, and the
    share of padding among all token positions.

    Each micro-batch contributes its *summed* loss, divided by the token count of the entire batch. The
    gradient therefore does not depend on how the batch is split. A mean of micro-batch means would give more
    weight to the tokens of short rows. `check` is called before each micro-batch.

    Each process adds the gradients of its share of the rows. The returned values cover all rows. If the
    device runs out of memory, the gradients of the `optimisers` are discarded and computed again with the
    lower limit in `progress` (`until_it_fits`).
    """
    n_tokens = sum(len(row.response) for row in rows)

    def work(limited: SFTConfig) -> dict[str, float]:
        sums = {"loss": 0.0, "places": 0.0}

        def process(batch: Batch, counts: bool) -> None:
            part = summed_loss(policy, batch) / n_tokens
            torch.autograd.backward(part if counts else 0 * part)
            if counts:
                sums["loss"] += part.item()
                sums["places"] += batch.places
                counted(batch.tokens)

        in_step(policy, *parts_of(limited, policy, tokenizer, rows), process, check=check)
        return sums

    with counting_tokens(rows, "tokens of the batch"):
        sums = fitting(config, policy, rows, work, progress, optimisers=optimisers, what="step {}")
    found = distributed.all_sum(sums)
    return found["loss"], 1 - sum(row.length for row in rows) / found["places"]


def fitting(
    config: SFTConfig,
    policy: PreTrainedModel,
    rows: Sequence[Row],
    work: Callable[[SFTConfig], dict[str, float]],
    progress: FitProgress | None,
    *,
    optimisers: Collection[torch.optim.Optimizer] = (),
    what: str,
) -> dict[str, float]:
    """Call `work` with the settings and the current limit of token positions (`until_it_fits`). `what` names
    the work in the log and contains a placeholder for the number of the step."""
    state = progress or FitProgress()
    state.micro_batch_tokens = state.micro_batch_tokens or config.micro_batch_tokens

    def limited() -> SFTConfig:
        return config.model_copy(update={"micro_batch_tokens": state.micro_batch_tokens})

    def largest() -> int:
        mine = [rows[i] for i in distributed.share([row.length for row in rows])]
        layout = layout_for(policy, config.packing)
        return largest_divisible(mine, layout=layout, max_tokens=state.micro_batch_tokens)

    return until_it_fits(
        lambda: work(limited()),
        state,
        largest=largest,
        optimisers=optimisers,
        what=what.format(state.step + bool(optimisers)),
    )


def counting_tokens(rows: Sequence[Row], what: str) -> AbstractContextManager[None]:
    """Inside the context, the tokens of this process's share of the rows are counted
    (`core.alive.counting`)."""
    return counting(sum(row.length for row in rows) // distributed.count(), what)


def parts_of(
    config: SFTConfig, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]
) -> tuple[Iterator[Batch], Callable[[], Batch]]:
    """Return the micro-batches of this process's share of the rows, and a function that returns a spare
    micro-batch for `in_step`."""
    mine = [rows[i] for i in distributed.share([row.length for row in rows])]
    shortest = min(rows, key=lambda row: row.length)
    laid_out_rows = partial(laid_out, config, policy, tokenizer)
    return laid_out_rows(mine), lambda: next(laid_out_rows([shortest]))


def summed_loss(policy: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Return the summed negative log-likelihood of the response tokens, as a scalar in nats."""
    return -token_log_probs(policy, batch.inputs, temperature=1.0).sum()


@torch.no_grad()
def mean_loss(
    config: SFTConfig,
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    *,
    check: Callable[[], None] = lambda: None,
    progress: FitProgress | None = None,
) -> float:
    """Return the mean loss over all rows, in nats per response token. `progress` is as in `add_gradients`."""

    def work(limited: SFTConfig) -> dict[str, float]:
        sums = {"total": 0.0}

        def process(batch: Batch, counts: bool) -> None:
            loss = summed_loss(policy, batch).item()
            sums["total"] += loss if counts else 0.0
            counted(batch.tokens if counts else 0)

        in_step(policy, *parts_of(limited, policy, tokenizer, rows), process, check=check)
        return sums

    with counting_tokens(rows, "held-out tokens"):
        found = fitting(config, policy, rows, work, progress, what="the evaluation after step {}")
    return distributed.all_sum(found)["total"] / sum(len(row.response) for row in rows)


def laid_out(
    config: SFTConfig, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]
) -> Iterator[Batch]:
    """Yield micro-batches on the policy's device. Every row occurs in exactly one of them."""
    layout, pad = layout_for(policy, config.packing), chat.pad_id(tokenizer)
    for batch in micro_batches(rows, layout=layout, max_tokens=config.micro_batch_tokens, pad_id=pad):
        yield batch.to(policy.device)


def new_optimizer(policy: PreTrainedModel, config: SFTConfig) -> torch.optim.AdamW:
    """Return the optimiser for `fit`. At every step, `fit` sets the optimiser's learning rate."""
    settings: dict[str, Any] = {"lr": peak_rate(config, policy), "weight_decay": config.weight_decay}
    return optimiser_over(
        trained_module(policy), partial(torch.optim.AdamW, betas=BETAS, fused=True, **settings)
    )


def peak_rate(config: SFTConfig, policy: PreTrainedModel) -> float:
    return config.learning_rate or rate_for(
        policy, at_2m=RATE_AT_2M, at_1b=RATE_AT_1B, adapter=config.use_peft
    )
