"""Reward models from rankings: train one, and score with it.

A reward model is a language model's trunk with one linear output, read at the end-of-sequence token of a
response, or an encoder that reads the whole. It is saved so that plain
``AutoModelForSequenceClassification`` gives the same raw scores, with LoRA as an adapter with its head. The
constant of a reward is free, so the mean and the standard deviation over the training responses are stored
beside the weights (`RewardScale`, in ``config.json``) and applied only where asked for: ``score(…,
centred=True)``, and always in PPO.
"""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.checkpoint import BestInMemory, Checkpoints, Keeper, fingerprint
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.rates import rate_factor, rate_for
from training.rlhf.core.recipe import seed_everything
from training.rlhf.core.recipes import RewardModelConfig
from training.rlhf.core.reporter import NullReporter, Reporter, TrainingDiverged
from training.rlhf.data.batching import Batch, Group, digest_of
from training.rlhf.data.rankings import Ranking, count_repeats, count_shared_prompts, split_by_prompt
from training.rlhf.models import chat
from training.rlhf.models.adapters import base_of, is_adapter
from training.rlhf.models.loading import Loaded, save_model
from training.rlhf.models.recompute import recompute_layers
from training.rlhf.models.trunks import head_of, trained_parameters
from training.rlhf.report.reward_report import RewardReport
from training.rlhf.reward import losses, uncertainty
from training.rlhf.reward.answer_model import AnswerModel, Reliability, answer_key
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.heldout import report_heldout
from training.rlhf.reward.lora_ensemble import train_members
from training.rlhf.reward.scoring import (
    RewardScale,
    batches,
    load_for_training,
    rewards_of,
    score,
    score_with_features,
)

# Log-odds, or reward units, per step. What is learned of the answers is a few numbers that start at a guess,
# and their scale is known, so the rate that suits a trunk of whatever size says nothing about theirs.
ANSWER_RATE = 0.02
# An adapter's low-rank matrices learn best at about ten times the rate that suits the weights they change
# (TRL's advice for reward models, too). On 700 rankings of the demo world the held-out loss after two passes
# was 0.639, 0.631 and 0.611 at 1, 3 and 10 times; 0.606 with all weights.
ADAPTER_RATE_FACTOR = 10.0
SUMS = ("loss", "pairs", "correct", "responses", "reward", "reward_squared", "tokens")
CADENCE = {"checkpoint_minutes", "checkpoint_steps"}  # settings that change nothing of what is computed

__all__ = ["RewardModelConfig", "RewardModelResult", "score", "train"]


@dataclass(frozen=True, slots=True)
class RewardModelResult:
    """Where the model was saved and what it reached.

    ``left_out`` counts rankings that could not be used, by reason (those held out as ``heldout/…``);
    ``prompts_cut`` those that lost the left of their prompt; ``repeats`` what was said twice or both ways
    (`data.count_repeats`), and ``prompts_on_both_sides`` of a held-out set that was given. ``annotators`` has
    everyone's reliability, by pseudonym, where it was learned. It is kept in the model's ``config.json`` too,
    with the other numbers learned of the answers. ``steps`` of ``total_steps`` were made: fewer where the
    held-out loss had stopped falling (``patience``). ``report``: what the model is worth on the held-out
    rankings, kept beside the weights; None where they prefer nothing.
    """

    path: Path
    metrics: dict[str, float]
    scale: RewardScale
    left_out: dict[str, int]
    prompts_cut: int
    repeats: dict[str, int]
    annotators: dict[str, Reliability]
    steps: int
    total_steps: int
    report: RewardReport | None


@dataclass
class Standing:
    """Where a run stands: what is not weights, moments or chance. A checkpoint has it as JSON, so a run that
    goes on knows all that it knew.

    ``metrics`` of the last step; ``heldout``: the held-out numbers of the weights that would be saved now;
    ``lowest``: those of the lowest held-out loss; ``without_gain``: evaluations since then.
    """

    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    heldout: dict[str, float] = field(default_factory=dict)
    lowest: dict[str, float] = field(default_factory=dict)
    without_gain: int = 0


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
    """Train on ``rankings``, choose by ``heldout`` (none given: cut off by prompt), save to ``out_dir``.

    With a folder for ``checkpoints``, a call that was killed goes on from the newest when it is made again;
    on a CPU its weights and metrics are then those of an undisturbed one, to the bit. The folder is left
    behind; the checkpoints of other inputs in it are refused (CheckpointRefused). Under torchrun
    (`training.rlhf.core.distributed`) every process makes the same call: each takes its share of every batch,
    and the first one reports, writes and saves.

    ``base_model`` is the policy whose responses are to be judged (its SFT checkpoint: a reward model of
    another lineage gives worse PPO however well it ranks), or a reward model, which is trained on. Metrics
    per step: loss (nats per pair; with the annotators' priors where those are learned), accuracy (pairs, this
    batch), grad_norm, learning_rate, reward/mean, reward/std, tokens_per_second; at evaluations also
    heldout/loss and heldout/accuracy; the result also has the report's heldout/ece, heldout/log_loss and
    heldout/best_of_4. Raises TrainingDiverged on a loss that is not finite, ValueError without data, or where
    the recipe is to learn from what the rankings don't state (strengths, annotators, positions).
    """
    report = distributed.Together(report or NullReporter())
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
    left_out |= {f"heldout/{reason}": number for reason, number in heldout_left_out.items()}
    if not groups:
        aside = f"left out: {left_out or 'none'}; held out: {len(heldout)}"
        raise UnusableInput(
            f"there is no ranking to learn from ({aside})",
            FailureKind.TEXTS_TOO_LONG if left_out.get("response_too_long") else FailureKind.DATA_EMPTY,
        )

    answers = AnswerModel(config, key, groups).to(model.device)
    modules = {"model": model, "answers": answers}
    trained = [
        weight for module in modules.values() for weight in module.parameters() if weight.requires_grad
    ]
    peak = config.learning_rate or rate_for(model, at_2m=5e-4, at_1b=1e-5) * (
        ADAPTER_RATE_FACTOR if config.use_peft else 1.0
    )
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
    kept: Keeper = BestInMemory()
    if checkpoints is not None:
        of = {
            "recipe": config.model_dump(mode="json", exclude=CADENCE),
            "rankings": digest_of(groups),
            "heldout rankings": digest_of(heldout_groups),
            "base model": fingerprint(modules),
        }
        minutes = config.checkpoint_minutes
        kept = Checkpoints(
            checkpoints, of=of, every_steps=config.checkpoint_steps, every_seconds=minutes and 60 * minutes
        )
    at = Standing(**(kept.resume(modules, optimiser) or {}))
    report.progress("train", at.step, total)
    if config.gradient_checkpointing:
        recompute_layers(model)

    for step, indices in enumerate(steps, start=1):
        if step <= at.step:
            continue
        if config.patience is not None and at.without_gain >= config.patience:
            break
        report.check()
        started = time.perf_counter()
        chosen = [groups[i] for i in indices]
        weight = sum(group.weight for group in chosen)
        mine = [chosen[i] for i in distributed.share([group.packed_tokens for group in chosen])]
        summed = Counter(dict.fromkeys(SUMS, 0.0))
        for _, batch in batches(
            model, mine, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad
        ):
            rewards = rewards_of(model, batch, precision=config.precision)
            per_ranking = preference_loss(config, rewards, batch, answers) + answers.prior(batch.said)
            # Over the weight of the whole batch: however it is cut into micro-batches and among processes,
            # they only add up.
            loss = (per_ranking * batch.weights).sum() / weight
            loss.backward()
            summed.update(batch_sums(loss.detach(), rewards.detach(), batch))
        distributed.add_gradients(trained)
        sums = distributed.add_up(summed)
        grad_norm = float(nn.utils.clip_grad_norm_(trained, config.max_grad_norm))
        if not (math.isfinite(sums["loss"]) and math.isfinite(grad_norm)):
            kept.save(at.step, modules, optimiser, asdict(at))
            raise TrainingDiverged(
                f"step {step} of {total}: loss {sums['loss']}, gradient norm {grad_norm}. No model was saved"
                + (f"; {checkpoints} has the weights before this step. " if checkpoints else ". ")
                + f"Lower learning_rate or look at {suspects(config, model, chosen, answers, pad)}"
            )
        rate = rate_factor(config.schedule, step - 1, total, warmup=warmup)
        for group, highest in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = highest * rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        at.step, at.metrics = (
            step,
            {"loss": sums["loss"], "accuracy": sums["correct"] / max(sums["pairs"], 1)},
        )
        metrics = at.metrics | {
            "grad_norm": grad_norm,
            "learning_rate": float(optimiser.param_groups[0]["lr"]),
            "reward/mean": (mean := sums["reward"] / sums["responses"]),
            "reward/std": math.sqrt(max(sums["reward_squared"] / sums["responses"] - mean**2, 0.0)),
            "tokens_per_second": sums["tokens"] / (time.perf_counter() - started),
        }
        best = False
        if heldout_groups and step in evaluate_at:
            found = evaluate(config, model, heldout_groups, answers, pad)
            metrics |= found
            gained = found["heldout/loss"] < at.lowest.get("heldout/loss", math.inf)
            at.without_gain = 0 if gained else at.without_gain + 1
            at.lowest = found if gained else at.lowest
            at.heldout = at.lowest if config.keep == "best" else found  # of the weights to be saved
            best = gained and config.keep == "best"
        report.metrics(step, metrics)
        report.progress("train", step, total)
        if best or kept.due():
            report.flush()  # what was said of steps that won't be done again must not be lost
            kept.save(step, modules, optimiser, asdict(at), best=best)

    kept.load_best(modules)
    scores, features = score_training_set(config, model, groups, pad)
    reliabilities = answers.settle_reliabilities(groups, scores)
    rewards = torch.cat(scores)
    scale = RewardScale(float(rewards.mean()), float(rewards.std(unbiased=False)))
    notes = answers.notes(reliabilities) | {"max_length": limit}
    model.config.rankloop = {"reward_mean": scale.mean, "reward_std": scale.std, **notes}
    doubt: uncertainty.Uncertainty | None = uncertainty.fit(
        config,
        head=head_of(model).weight[0],
        features=features,
        groups=groups,
        answers=answers,
        check=report.check,
    )
    members = Path(out_dir).parent / f".{Path(out_dir).name}.members"
    if config.uncertainty == "lora":
        doubt = train_members(
            train,
            config,
            base_model=base_model,
            rankings=rankings,
            folder=members,
            checkpoints=checkpoints,
            report=report,
        )
    if distributed.is_first():
        more = partial(uncertainty.write, doubt) if doubt else None
        save_model(model, tokenizer, out_dir, merge=False, add=more)
        shutil.rmtree(members, ignore_errors=True)
    distributed.wait()
    result = {f"train/{name}": value for name, value in at.metrics.items()} | at.heldout
    result |= {"reward/mean": scale.mean, "reward/std": scale.std}
    if doubt:
        told = uncertainty.log_loss(model, heldout_groups, doubt, pad_id=pad)
        result |= {f"uncertainty/heldout_log_loss_{name}": value for name, value in told.items()}
        result |= {f"uncertainty/{name}": value for name, value in doubt.metrics().items()}
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
        repeats=repeats,
        annotators=reliabilities,
        steps=at.step,
        total_steps=total,
        report=evaluated,
    )


def _refuse_to_replace_base(config: RewardModelConfig, base_model: str | Path, out_dir: str | Path) -> None:
    """Adapters need the weights that they change."""
    if not (config.use_peft or config.uncertainty == "lora"):
        return
    base = base_of(base_model) if is_adapter(base_model) else str(base_model)
    if Path(base).resolve() == Path(out_dir).resolve():
        raise ValueError(
            f"{out_dir} holds the model that the adapters would change, and need: save to another folder"
        )


def preference_loss(config: RewardModelConfig, rewards: Tensor, batch: Batch, answers: AnswerModel) -> Tensor:
    """(B, K) rewards -> (B,) loss per ranking, as the recipe asks for. Held-out loss is this, too."""
    per_ranking: Tensor = answers(rewards, batch.said)
    if config.centring:
        per_ranking = per_ranking + config.centring * losses.centring(rewards, batch.tiers)
    return per_ranking


def score_training_set(
    config: RewardModelConfig, model: PreTrainedModel, groups: Sequence[Group], pad_id: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Raw rewards, (K,) per group, and the features they come from, (K, d), where the recipe asks how sure
    they are; each process reads its share, and all get everything."""
    mine = distributed.share([group.packed_tokens for group in groups])
    sizes = [len(group.responses) for group in groups]
    chosen, keep = [groups[i] for i in mine], uncertainty.reads_features(config)
    rewards, read = score_with_features(model, chosen, pad_id=pad_id, keep=keep)
    scores = distributed.put_together(mine, rewards, sizes)
    if not keep:
        return scores, []
    width = head_of(model).in_features
    numbers = [features.flatten() for features in read]
    found = distributed.put_together(mine, numbers, [size * width for size in sizes])
    return scores, [features.view(-1, width) for features in found]


@torch.no_grad()
def suspects(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    answers: AnswerModel,
    pad_id: int,
) -> str:
    """The rankings of a batch that spoiled its step, in words: those whose own loss is not finite, or all."""
    spoiled: list[int] = []
    for indices, batch in batches(
        model, groups, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad_id
    ):
        rewards = rewards_of(model, batch, precision=config.precision)
        finite = (preference_loss(config, rewards, batch, answers) * batch.weights).isfinite().tolist()
        spoiled += [index for index, fine in zip(indices, finite, strict=True) if not fine]
    named = ", ".join(groups[i].name for i in sorted(spoiled) or range(len(groups)))[:300]
    return f"the rankings {'whose loss this is' if spoiled else 'of this batch'}: {named}"


def batch_sums(loss: Tensor, rewards: Tensor, batch: Batch) -> dict[str, float]:
    """What a micro-batch adds to the numbers of its step (SUMS), so that unlike micro-batches weigh what they
    hold."""
    pairs = losses.preferred_pairs(batch.tiers).sum(dim=(1, 2))
    real = rewards[batch.tiers >= 0]
    return {
        "loss": float(loss),
        "pairs": float(pairs.sum()),
        "correct": float((losses.pair_accuracy(rewards, batch.tiers).nan_to_num() * pairs).sum()),
        "responses": float(real.numel()),
        "reward": float(real.sum()),
        "reward_squared": float((real**2).sum()),
        "tokens": float(batch.tokens),
    }


@torch.no_grad()
def evaluate(
    config: RewardModelConfig,
    model: PreTrainedModel,
    groups: Sequence[Group],
    answers: AnswerModel,
    pad_id: int,
) -> dict[str, float]:
    """Loss per ranking (weighted) and accuracy per pair on held-out groups, and the number of those pairs."""
    weight = sum(group.weight for group in groups)
    mine = [groups[i] for i in distributed.share([group.packed_tokens for group in groups])]
    summed = Counter(dict.fromkeys(SUMS, 0.0))
    for _, batch in batches(
        model, mine, layout=config.layout, max_tokens=config.micro_batch_tokens, pad_id=pad_id
    ):
        rewards = rewards_of(model, batch, precision=config.precision)
        loss = (preference_loss(config, rewards, batch, answers) * batch.weights).sum() / weight
        summed.update(batch_sums(loss, rewards, batch))
    sums = distributed.add_up(summed)
    accuracy = sums["correct"] / max(sums["pairs"], 1)
    return {"heldout/loss": sums["loss"], "heldout/accuracy": accuracy, "heldout/pairs": sums["pairs"]}
