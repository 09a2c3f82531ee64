"""Train a reward model from rankings.

A reward model is either a language model's trunk with one linear output, or an encoder. A language model's
score is read at a response's EOS. An encoder scores the response as a whole. The model is saved in a form
that plain ``AutoModelForSequenceClassification`` can load, with the same raw scores. With LoRA, the adapter
and the head are saved. A reward's additive constant is arbitrary. The mean and the standard deviation over
the training responses are therefore stored with the weights. The stored mean and standard deviation form the
`RewardScale` in ``config.json``. PPO always centres and scales rewards by this mean and standard deviation.
By default, ``score`` returns raw rewards. ``score(…, centred=True)`` subtracts only the mean.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.checkpoint import (
    open_store,
    reading_state,
    save_checkpoint,
    saving_when_stopped,
)
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.loop_state import fingerprint
from training.rlhf.core.memory import lowered_metric
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.reporter import NullReporter, Reporter, TrainingDiverged
from training.rlhf.core.seeds import seed_everything
from training.rlhf.core.sharding import clip_gradients, shards, stopping_together
from training.rlhf.core.shared_reporter import SharedReporter
from training.rlhf.data.batching import Group, cut_by_tokens, digest_of
from training.rlhf.data.rankings import Ranking, count_repeats, count_shared_prompts, split_by_prompt
from training.rlhf.models.files.adapters import base_of, is_adapter
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.loading.trainable import trained_weights
from training.rlhf.models.parts.trunks import head_of, trained_parameters
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.report.reward_report import RewardReport
from training.rlhf.reward import beliefs, uncertainty
from training.rlhf.reward.answer_model import AnswerModel, Reliability, answer_key
from training.rlhf.reward.batch_loss import (
    add_gradients,
    evaluate,
    suspects,
)
from training.rlhf.reward.encoding import count_control_tokens, encode_rankings
from training.rlhf.reward.heldout import report_heldout
from training.rlhf.reward.lora_ensemble import train_members
from training.rlhf.reward.scoring import (
    RewardScale,
    load_for_training,
    score_with_features,
)

# Learning rate in log-odds or reward units per step. The answer model has a few parameters with a known scale
# and a good initial estimate. Their learning rate is therefore unrelated to the trunk's.
ANSWER_RATE = 0.02


@dataclass(frozen=True, slots=True)
class RewardModelResult:
    """The saved model and its metrics.

    ``left_out`` counts the rankings that could not be used, by reason (held-out rankings as ``heldout/…``).
    ``prompts_cut`` counts truncated prompts. ``control_tokens_removed`` counts the rankings, including
    held-out ones, in which a message or a response spells out a control token. ``repeats`` counts duplicate
    rankings and contradicted pairs (see `rankings.count_repeats`). If the caller provides a held-out set,
    ``prompts_on_both_sides`` in ``repeats`` counts the held-out prompts that also occur in training.
    ``annotators`` maps each annotator's pseudonym to the annotator's learned reliability. The mapping is
    empty if reliabilities were not learned. The model's ``config.json`` also contains the reliabilities and
    the answer model's other parameters. ``steps`` is lower than ``total_steps`` if the held-out loss stopped
    falling (``patience``). ``report`` is the report on the held-out rankings and is also saved with the
    weights. ``report`` is None if the held-out rankings contain no preference.
    """

    path: Path
    metrics: dict[str, float]
    scale: RewardScale
    left_out: dict[str, int]
    prompts_cut: int
    control_tokens_removed: int
    repeats: dict[str, int]
    annotators: dict[str, Reliability]
    steps: int
    total_steps: int
    trained_parameters: int
    trained_weights: list[str]
    report: RewardReport | None


@dataclass
class LoopProgress:
    """The counters and metrics of a run, saved as JSON in a checkpoint. A resumed run can therefore return
    the same values as an uninterrupted run.

    ``metrics`` contains the last step's metrics. ``heldout`` contains the held-out metrics of the weights
    that would be saved if the run ended now. ``lowest`` contains the held-out metrics at the lowest held-out
    loss. ``without_gain`` is the number of evaluations since the lowest held-out loss. ``micro_batch_tokens``
    is the recipe's limit of token positions, or less if the device ran out of memory.
    """

    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    heldout: dict[str, float] = field(default_factory=dict)
    lowest: dict[str, float] = field(default_factory=dict)
    without_gain: int = 0
    micro_batch_tokens: int = 0


def train(
    config: RewardModelConfig,
    *,
    base_model: str | Path,
    rankings: Sequence[Ranking],
    heldout: Sequence[Ranking] = (),
    out_dir: str | Path,
    checkpoints: str | Path | None = None,
    report: Reporter | None = None,
) -> RewardModelResult:
    """Train on ``rankings`` and save the model to ``out_dir``.

    Weights are selected on ``heldout``. By default, ``heldout`` is a part of ``rankings``, split by prompt.

    If ``checkpoints`` is a folder and the process is killed, repeating the call resumes from the newest
    checkpoint. On a CPU, the resumed run's weights and metrics are bitwise equal to those of an uninterrupted
    run. The checkpoint folder is not removed. If that folder contains checkpoints of a run with other inputs,
    CheckpointRefused is raised. Under torchrun (`training.rlhf.core.distributed`), every process makes the
    same call and handles its share of every batch. The first process sends all reports and writes all files.

    ``base_model`` is either the policy whose responses will be scored, or an existing reward model, which is
    then trained further. For a policy, pass its SFT checkpoint. If the reward model and the policy are
    derived from different language models, PPO gives worse results, even if the reward model ranks responses
    accurately.

    Every step reports the metrics loss, accuracy, grad_norm, learning_rate, reward/mean, reward/std and
    tokens_per_second. The loss is in nats per pair and includes the annotators' priors if reliabilities are
    learned. The accuracy covers the pairs in the step's batch. Evaluations also report heldout/loss,
    heldout/accuracy and heldout/pairs. The returned metrics also include the report's heldout/ece,
    heldout/log_loss and heldout/best_of_4.

    Raises TrainingDiverged if the loss or the gradient is not finite. Raises ValueError if there is no data.
    Also raises ValueError if the rankings lack strengths, annotators or positions that the recipe needs.
    """
    report = SharedReporter(report or NullReporter(), in_step=shards(config))
    seed_everything(config.seed)
    _refuse_to_replace_base(config, base_model, out_dir)
    repeats = count_repeats([*rankings, *heldout])
    repeats["prompts_on_both_sides"] = count_shared_prompts(rankings, heldout)
    if not heldout:
        rankings, heldout = split_by_prompt(rankings, heldout_fraction=config.heldout_fraction)
    model, tokenizer = load_for_training(base_model, config)
    pad = chat.pad_id(tokenizer)
    limit = min(config.max_length, chat.context_length(model))
    key = answer_key(config, rankings)
    groups, left_out, prompts_cut = encode_rankings(
        rankings, tokenizer, max_length=limit, ties=config.ties, key=key
    )
    heldout_groups, heldout_left_out, _ = encode_rankings(
        heldout, tokenizer, max_length=limit, ties=config.ties, key=key
    )
    spelt = count_control_tokens([*rankings, *heldout], tokenizer)
    left_out |= {f"heldout/{reason}": number for reason, number in heldout_left_out.items()}
    if not groups:
        aside = f"left out: {left_out or 'none'}; held out: {len(heldout)}"
        raise UnusableInput(
            f"there are no rankings to train on ({aside})",
            FailureKind.TEXTS_TOO_LONG if left_out.get("response_too_long") else FailureKind.DATA_EMPTY,
        )

    answers = AnswerModel(config, key, groups).to(model.device)
    modules = {"model": model, "answers": answers}
    counted = trained_weights(modules)
    trained = [
        weight for module in modules.values() for weight in module.parameters() if weight.requires_grad
    ]
    peak = config.learning_rate or rate_for(model, at_2m=5e-4, at_1b=1e-5, adapter=config.use_peft)
    trunk, head = trained_parameters(model)
    optimiser = torch.optim.AdamW(
        [
            {"params": trunk, "lr": peak},
            {"params": head, "lr": peak * config.head_learning_rate_factor},
            {"params": list(answers.parameters()), "lr": ANSWER_RATE, "weight_decay": 0.0},
        ],
        weight_decay=config.weight_decay,
        fused=True,
    )
    peaks = [group["lr"] for group in optimiser.param_groups]
    order = torch.Generator().manual_seed(config.seed)
    in_order = [torch.randperm(len(groups), generator=order) for _ in range(config.epochs)]
    steps = [part.tolist() for epoch in in_order for part in torch.split(epoch, config.batch_rankings)]
    total, warmup = len(steps), round(config.warmup_fraction * len(steps))
    evaluate_at = {round(total * n / config.evaluations) for n in range(1, config.evaluations + 1)}
    optimisers = {"all": optimiser}
    of = {
        "rankings": digest_of(groups),
        "heldout rankings": digest_of(heldout_groups),
        "base model": fingerprint(modules),
    }
    store = open_store(checkpoints, config, of=of)
    resumed = store.resume(modules, optimisers)
    with reading_state():
        progress = LoopProgress(**(resumed.counters if resumed else {}))
    progress.micro_batch_tokens = progress.micro_batch_tokens or config.micro_batch_tokens

    def save() -> None:
        save_checkpoint(store, report, progress.step, modules, optimisers, asdict(progress))

    report.progress("train", progress.step, total)
    if config.gradient_checkpointing:
        recompute_layers(model)

    for step, indices in enumerate(steps, start=1):
        if step <= progress.step:
            continue
        if config.patience is not None and progress.without_gain >= config.patience:
            break
        with saving_when_stopped(save):
            report.check_together()
        started = time.perf_counter()
        chosen = [groups[i] for i in indices]
        with saving_when_stopped(save):
            sums = add_gradients(
                config,
                model,
                chosen,
                answers,
                pad,
                state=progress,
                optimiser=optimiser,
                what=f"step {step}",
                check=report.check,
            )
        distributed.sum_gradients(trained)
        grad_norm = clip_gradients(trained, config.max_grad_norm)
        if not (math.isfinite(sums["loss"]) and math.isfinite(grad_norm)):
            save()
            raise TrainingDiverged(
                f"step {step} of {total}: loss {sums['loss']}, gradient norm {grad_norm}. No model was saved"
                + (f"; {checkpoints} contains the weights from before this step. " if checkpoints else ". ")
                + f"Lower learning_rate or check {suspects(config, model, chosen, answers, pad)}"
            )
        rate = rate_factor(config.schedule, step - 1, total, warmup=warmup)
        for group, highest in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = highest * rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        progress.step, progress.metrics = (
            step,
            {"loss": sums["loss"], "accuracy": sums["correct"] / max(sums["pairs"], 1)},
        )
        metrics = progress.metrics | {
            "grad_norm": grad_norm,
            "learning_rate": float(optimiser.param_groups[0]["lr"]),
            "reward/mean": (mean := sums["reward"] / sums["responses"]),
            "reward/std": math.sqrt(max(sums["reward_squared"] / sums["responses"] - mean**2, 0.0)),
            "tokens_per_second": sums["tokens"] / (time.perf_counter() - started),
            **lowered_metric(progress, config.micro_batch_tokens),
        }
        best = False
        if heldout_groups and step in evaluate_at:
            found = evaluate(config, model, heldout_groups, answers, pad, state=progress)
            metrics |= found
            gained = found["heldout/loss"] < progress.lowest.get("heldout/loss", math.inf)
            progress.without_gain = 0 if gained else progress.without_gain + 1
            progress.lowest = found if gained else progress.lowest
            progress.heldout = (
                progress.lowest if config.keep == "best" else found
            )  # metrics of the weights that will be saved
            best = gained and config.keep == "best"
        report.metrics(step, metrics)
        report.progress("train", step, total)
        if best or store.due():
            save_checkpoint(store, report, step, modules, optimisers, asdict(progress), best=best)

    store.load_best(modules)
    optimiser.state.clear()  # the training is over, so the scoring below can use the memory of Adam's moments
    with complete_model(model) as model:
        scores, features = score_training_set(config, model, groups, pad, report)
        reliabilities = answers.settle_reliabilities(groups, scores)
        rewards = torch.cat(scores)
        scale = RewardScale(float(rewards.mean()), float(rewards.std(unbiased=False)))
        notes = answers.notes(reliabilities) | {"max_length": limit}
        model.config.rankloop = {"reward_mean": scale.mean, "reward_std": scale.std, **notes}
        fitted: beliefs.Uncertainty | None
        with stopping_together(sharded=shards(config)):
            fitted = uncertainty.fit(
                config,
                head=head_of(model).weight[0],
                features=features,
                groups=groups,
                answers=answers,
                check=report.check,
            )
        members = Path(out_dir).parent / f".{Path(out_dir).name}.members"
        if config.uncertainty == "lora":
            fitted = train_members(
                train,
                config,
                base_model=base_model,
                rankings=rankings,
                folder=members,
                checkpoints=checkpoints,
                report=report,
            )
        if distributed.is_first():
            more = partial(uncertainty.write, fitted) if fitted else None
            save_model(model, tokenizer, out_dir, merge=False, add=more)
            shutil.rmtree(members, ignore_errors=True)
        distributed.wait()
        result = {f"train/{name}": value for name, value in progress.metrics.items()} | progress.heldout
        result |= {"reward/mean": scale.mean, "reward/std": scale.std}
        if fitted:
            held_out = beliefs.log_loss(model, heldout_groups, fitted, pad_id=pad)
            result |= {f"uncertainty/heldout_log_loss_{name}": value for name, value in held_out.items()}
            result |= {f"uncertainty/{name}": value for name, value in fitted.metrics().items()}
        if reliabilities:
            values = [one.value for one in reliabilities.values()]
            result |= {"reliability/mean": sum(values) / len(values), "reliability/lowest": min(values)}
        evaluated = report_heldout(Loaded(model, tokenizer), heldout, Path(out_dir), seed=config.seed)
        result |= evaluated.figures() if evaluated else {}
    return RewardModelResult(
        path=Path(out_dir),
        metrics=result,
        scale=scale,
        left_out=left_out,
        prompts_cut=prompts_cut,
        control_tokens_removed=spelt,
        repeats=repeats,
        annotators=reliabilities,
        steps=progress.step,
        total_steps=total,
        trained_parameters=counted.parameters,
        trained_weights=counted.names,
        report=evaluated,
    )


def _refuse_to_replace_base(config: RewardModelConfig, base_model: str | Path, out_dir: str | Path) -> None:
    """Raise ValueError if ``out_dir`` is the base model that the adapters need."""
    if not (config.use_peft or config.uncertainty == "lora"):
        return
    base = base_of(base_model) if is_adapter(base_model) else str(base_model)
    if Path(base).resolve() == Path(out_dir).resolve():
        raise ValueError(
            f"{out_dir} contains the adapters' base model, which is still needed. Save to another folder"
        )


def score_training_set(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    pad_id: int,
    report: SharedReporter,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return each group's raw rewards and, if the recipe's uncertainty needs features, each group's features.

    The rewards have shape (K,) per group, and the features have shape (K, d). Each process computes its
    share, and all processes get the complete result.
    """
    mine = distributed.share([group.packed_tokens for group in groups])
    sizes = [len(group.responses) for group in groups]
    chosen, keep = [groups[i] for i in mine], uncertainty.reads_features(config)
    rewards: list[Tensor] = []
    read: list[Tensor] = []
    # All rankings in one forward pass would take minutes on a CPU, without reporting progress or checking for
    # a request to stop.
    tokens = [group.packed_tokens for group in chosen]
    for part in cut_by_tokens(tokens, max_tokens=config.micro_batch_tokens):
        report.check()
        report.progress("score", len(rewards), len(chosen))
        scored, features = score_with_features(model, [chosen[i] for i in part], pad_id=pad_id, keep=keep)
        rewards, read = rewards + scored, read + features
    report.progress("score", len(rewards), len(chosen))
    scores = distributed.gather_rows(mine, rewards, sizes)
    if not keep:
        return scores, []
    width = head_of(model).in_features
    numbers = [features.flatten() for features in read]
    found = distributed.gather_rows(mine, numbers, [size * width for size in sizes])
    return scores, [features.view(-1, width) for features in found]
