"""Rejection sampling: of N answers per prompt the reward model's favourite is kept, and the policy
imitates it.

    result = train(RejectionSamplingConfig(), policy="…", reward_model="…", prompts=[…], out_dir="…")

Which answers are kept (RAFT's "best of K per prompt", Dong et al. 2023, arXiv 2304.06767): one per
prompt, that with the highest reward; of equals the one sampled first. Answers cut off at the length limit
are out, whatever their reward, as imitating them would teach never to stop; so is a prompt all of whose
answers were cut off, and a prompt whose best answer is not better than its mean by `min_gain` (nothing is to
be learned from it).

Where the reward model says how sure it is, `caution` spreads are taken off each reward before anything is
chosen or reported.

Reported: while sampling `reward_mean`, `reward_best` (raw units of the reward model), `reward_spread` (the
same, where it has spreads), `finished_share`; then `best_of_<n>`, the curve of the expected best of n
answers, and `kept`, the number of prompts; then the metrics of `sft`.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.core.rates import rate_for
from training.rlhf.core.recipe import seed_everything
from training.rlhf.core.recipes import RejectionSamplingConfig
from training.rlhf.core.reporter import NullReporter, Reporter
from training.rlhf.generation.answering import answers_to
from training.rlhf.generation.decoding import Completion
from training.rlhf.models import chat
from training.rlhf.models.loading import Loaded, ModelSource, open_policy, open_reward_model, save_model
from training.rlhf.policy import sft
from training.rlhf.reward import scoring
from training.rlhf.reward.uncertainty import Uncertainty, cautious_scores, doubt_about

# Peak learning rates that suit models of these sizes: lower than those of sft, as the policy already speaks.
# From 512 prompts of the demo, gold per answer: start 1.57, at 1e-3 1.76, at 3e-4 1.95 (standard error 0.08).
RATE_AT_2M, RATE_AT_1B = 3e-4, 1e-5
PROMPTS_PER_BATCH = 32  # sampled, scored and reported together; a cancelled run is noticed this often


@dataclass(frozen=True)
class RejectionSamplingResult:
    """`best_of` maps n to the expected reward of the best of n answers, for every n up to N; `prompts_cut`
    counts those that didn't fit the context whole."""

    path: Path
    steps: int
    prompts: int
    prompts_cut: int
    kept: int
    reward_mean: float
    reward_best: float
    best_of: dict[int, float]
    loss: float
    heldout_loss: float | None
    seconds: float


@dataclass(frozen=True)
class Candidates:
    """The N answers to one prompt, in the order they were sampled, with their rewards, caution taken off."""

    messages: Messages
    prompt: list[int]
    completions: list[Completion]
    texts: list[str]
    rewards: list[float]


def train(
    config: RejectionSamplingConfig,
    *,
    policy: ModelSource,
    reward_model: ModelSource,
    prompts: Sequence[Messages],
    out_dir: str | Path,
    report: Reporter | None = None,
) -> RejectionSamplingResult:
    """Sample, choose, fine-tune, save. A `Loaded` policy is trained in place.

    Raises `ModelNotFound`, `ValueError` (no prompts, or no answer worth keeping), `TrainingDiverged`,
    `Cancelled`; then nothing is written.
    """
    if not prompts:
        raise UnusableInput("rejection sampling needs at least one prompt, got none", FailureKind.DATA_EMPTY)
    started, report = time.monotonic(), report or NullReporter()
    seed_everything(config.seed)
    doubt = doubt_about(reward_model, caution=config.caution)
    model, judge = open_policy(policy), open_reward_model(reward_model)
    shown = list(prompts[: config.sample_prompts])
    before = sft.answers(*model, shown, config.sample_tokens)

    candidates, cut = sample_and_score(config, model, judge, doubt, prompts, report)
    curve = mean_best_of([group.rewards for group in candidates])
    chosen = [row for group in candidates if (row := best_row(group, config.min_gain))]
    if not chosen:
        raise UnusableInput(
            f"none of the {len(candidates)} prompts has an answer worth keeping: all were cut off at "
            f"{config.max_new_tokens} tokens or lead by less than {config.min_gain}. "
            "Raise max_new_tokens or lower min_gain.",
            FailureKind.NOTHING_KEPT,
        )
    report.metrics(0, {f"best_of_{n}": value for n, value in curve.items()} | {"kept": float(len(chosen))})
    rate = config.learning_rate or rate_for(model.model, at_2m=RATE_AT_2M, at_1b=RATE_AT_1B)
    settings = config.model_copy(update={"learning_rate": rate})
    steps, loss, heldout_loss = sft.fit(settings, *model, chosen, report)

    after = sft.answers(*model, shown, config.sample_tokens)
    old, new = (_rewards(judge, shown, texts) for texts in (before, after))
    for i, messages in enumerate(shown):
        scores = {"reward_before": old[i], "reward_after": new[i]}
        report.sample(steps, messages=messages, before=before[i], after=after[i], scores=scores)
    report.check()
    return RejectionSamplingResult(
        path=save_model(model.model, model.tokenizer, out_dir),
        steps=steps,
        prompts=len(candidates),
        prompts_cut=cut,
        kept=len(chosen),
        reward_mean=curve[1],
        reward_best=curve[config.samples_per_prompt],
        best_of=curve,
        loss=loss,
        heldout_loss=heldout_loss,
        seconds=time.monotonic() - started,
    )


def sample_and_score(
    config: RejectionSamplingConfig,
    policy: Loaded,
    judge: Loaded,
    doubt: Uncertainty | None,
    prompts: Sequence[Messages],
    report: Reporter,
) -> tuple[list[Candidates], int]:
    """N answers to each prompt with their raw rewards, less the caution asked for, in the order of the
    prompts; how many prompts were cut."""
    candidates: list[Candidates] = []
    cut = 0
    batches = answers_to(
        prompts,
        policy=policy,
        n=config.samples_per_prompt,
        prompts_per_batch=PROMPTS_PER_BATCH,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
        check=report.check,
    )
    for batch in batches:
        texts = [[chat.decode(policy.tokenizer, c.ids) for c in completions] for completions in batch.answers]
        asked = scoring.encode_items(*judge, list(zip(batch.prompts, texts, strict=True)))
        rewards, spreads = cautious_scores(
            judge.model, asked, doubt, caution=config.caution, pad_id=chat.pad_id(judge.tokenizer)
        )
        groups = [
            Candidates(*parts[:4], parts[4].tolist())
            for parts in zip(batch.prompts, batch.encoded, batch.answers, texts, rewards, strict=True)
        ]
        candidates += groups
        cut += batch.cut
        n_answers = len(groups) * config.samples_per_prompt
        values = {
            "reward_mean": math.fsum(r for group in groups for r in group.rewards) / n_answers,
            "reward_best": math.fsum(max(group.rewards) for group in groups) / len(groups),
            "finished_share": sum(c.finished for group in groups for c in group.completions) / n_answers,
        }
        if doubt:
            values["reward_spread"] = float(torch.cat(spreads).mean())
        report.metrics(0, values)
        report.progress("sample", len(candidates), len(prompts))
    return candidates, cut


def best_row(group: Candidates, min_gain: float) -> sft.Row | None:
    """The answer to imitate, as the very tokens that were sampled; None when there is nothing to learn."""
    finished = [i for i, completion in enumerate(group.completions) if completion.finished]
    if not finished:
        return None
    best = max(finished, key=lambda i: group.rewards[i])
    lead = group.rewards[best] - math.fsum(group.rewards) / len(group.rewards)
    return None if lead < min_gain else sft.Row(group.prompt, group.completions[best].ids)


def best_of_curve(rewards: Sequence[float]) -> dict[int, float]:
    """Expected best of n draws for every n ≤ N, from one sample of N: the unbiased estimate from order
    statistics.

    With x₍₁₎ ≤ … ≤ x₍N₎: E[max of n] = Σᵢ C(i-1, n-1) / C(N, n) · x₍ᵢ₎, the mean over all subsets of size n.
    """
    ordered, size = sorted(rewards), len(rewards)
    return {
        n: math.fsum(math.comb(i, n - 1) / math.comb(size, n) * x for i, x in enumerate(ordered))
        for n in range(1, size + 1)
    }


def mean_best_of(groups: Sequence[Sequence[float]]) -> dict[int, float]:
    """`best_of_curve` averaged over prompts with equally many answers."""
    curves = [best_of_curve(rewards) for rewards in groups]
    return {n: math.fsum(curve[n] for curve in curves) / len(curves) for n in curves[0]}


def _rewards(judge: Loaded, prompts: Sequence[Messages], texts: Sequence[str]) -> list[float]:
    pairs = [(messages, [text]) for messages, text in zip(prompts, texts, strict=True)]
    return [float(rewards[0]) for rewards in scoring.score(judge.model, judge.tokenizer, pairs)]
