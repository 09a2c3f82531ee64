"""Rejection sampling: of N answers per prompt, the policy imitates the answer with the highest reward.

    result = train(RejectionSamplingConfig(), policy="…", reward_model="…", prompts=[…], out_dir="…")

One answer per prompt is kept: the answer with the highest reward. If several answers have the highest reward,
the answer sampled first is kept. This selection is RAFT's "best of K per prompt" (Dong et al. 2023, arXiv
2304.06767). Answers truncated at the length limit are excluded, regardless of their reward. Imitating
truncated answers would teach the policy never to stop. A prompt is excluded if all of its answers were
truncated. A prompt is also excluded if its best answer's reward exceeds the prompt's mean reward by less than
`min_gain`. Such an answer would teach nothing.

If the reward model estimates its uncertainty, `caution` standard deviations are subtracted from each reward
before selection and reporting.

While sampling, the metrics are `reward_mean`, `reward_best` and `finished_share`. If the reward model
estimates its uncertainty, `reward_spread` is the mean uncertainty. The rewards and the uncertainty are in the
reward model's raw units. After sampling, the metrics are `best_of_<n>` and `kept`. `best_of_<n>` is the
expected best reward of n answers. `kept` is the number of prompts with a kept answer. During fine-tuning, the
metrics are those of `sft`.
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
from training.rlhf.core.reporter import NullReporter, Reporter
from training.rlhf.core.seeds import seed_everything
from training.rlhf.generation.answering import answers_to
from training.rlhf.generation.decoding import Completion
from training.rlhf.models import chat
from training.rlhf.models.loading import Loaded, ModelSource, open_policy, open_reward_model, save_model
from training.rlhf.policy import sft
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.reward import scoring
from training.rlhf.reward.beliefs import Uncertainty, cautious_scores
from training.rlhf.reward.uncertainty import uncertainty_of

# Peak learning rates for models with 2M and 1B parameters. These rates are lower than those in `sft`, because
# the policy is already trained. With 512 demo prompts, the gold reward per answer was 1.57 before training.
# The reward rose to 1.76 at a peak rate of 1e-3, and to 1.95 at 3e-4 (standard error 0.08).
RATE_AT_2M, RATE_AT_1B = 3e-4, 1e-5

# Number of prompts sampled, scored and reported together. Cancellation is checked after each batch.
PROMPTS_PER_BATCH = 32


@dataclass(frozen=True)
class RejectionSamplingResult:
    """`best_of` maps n to the expected reward of the best of n answers, for every n up to N. `prompts_cut`
    counts the prompts that were truncated to fit the context."""

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
    """The N answers to one prompt in sampling order, with their rewards after the deduction for `caution`."""

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
    """Sample answers, choose the best, fine-tune the policy and save it. A `Loaded` policy is trained in
    place.

    Raises `ModelNotFound`, `ValueError` (no prompts, or no answer worth keeping), `TrainingDiverged` and
    `Cancelled`. If an exception is raised, nothing is written.
    """
    if not prompts:
        raise UnusableInput(
            "rejection sampling needs at least one prompt, but got none", FailureKind.DATA_EMPTY
        )
    started, report = time.monotonic(), report or NullReporter()
    seed_everything(config.seed)
    uncertainty = uncertainty_of(reward_model, caution=config.caution)
    model = open_policy(policy, config.arguments_of_template)
    judge = open_reward_model(reward_model)
    shown = list(prompts[: config.sample_prompts])
    before = sft.answers(*model, shown, config.sample_tokens)

    candidates, cut = sample_and_score(config, model, judge, uncertainty, prompts, report)
    curve = mean_best_of([group.rewards for group in candidates])
    chosen = [row for group in candidates if (row := best_row(group, config.min_gain))]
    if not chosen:
        raise UnusableInput(
            f"none of the {len(candidates)} prompts has an answer worth keeping: every answer was truncated "
            f"at {config.max_new_tokens} tokens or has a reward that exceeds the prompt's mean reward by less"
            f" than {config.min_gain}. "
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
    uncertainty: Uncertainty | None,
    prompts: Sequence[Messages],
    report: Reporter,
) -> tuple[list[Candidates], int]:
    """Return N answers to each prompt, in prompt order, and the number of truncated prompts. Each
    answer's reward is its raw reward minus the deduction for `caution`."""
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
            judge.model, asked, uncertainty, caution=config.caution, pad_id=chat.pad_id(judge.tokenizer)
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
        if uncertainty:
            values["reward_spread"] = float(torch.cat(spreads).mean())
        report.metrics(0, values)
        report.progress("sample", len(candidates), len(prompts))
    return candidates, cut


def best_row(group: Candidates, min_gain: float) -> sft.Row | None:
    """Return the sampled tokens of the answer to imitate, or None if all answers are excluded."""
    finished = [i for i, completion in enumerate(group.completions) if completion.finished]
    if not finished:
        return None
    best = max(finished, key=lambda i: group.rewards[i])
    lead = group.rewards[best] - math.fsum(group.rewards) / len(group.rewards)
    return None if lead < min_gain else sft.Row(group.prompt, group.completions[best].ids)


def best_of_curve(rewards: Sequence[float]) -> dict[int, float]:
    """For every n ≤ N, return an unbiased estimate of the expected best of n draws. The estimates use one
    sample of N draws.

    The estimate for n is the mean of the maximum over all subsets of size n. With the order statistics x₍₁₎ ≤
    … ≤ x₍N₎, this mean is Σᵢ C(i-1, n-1) / C(N, n) · x₍ᵢ₎.
    """
    ordered, size = sorted(rewards), len(rewards)
    return {
        n: math.fsum(math.comb(i, n - 1) / math.comb(size, n) * x for i, x in enumerate(ordered))
        for n in range(1, size + 1)
    }


def mean_best_of(groups: Sequence[Sequence[float]]) -> dict[int, float]:
    """Return `best_of_curve` averaged over prompts with the same number of answers."""
    curves = [best_of_curve(rewards) for rewards in groups]
    return {n: math.fsum(curve[n] for curve in curves) / len(curves) for n in curves[0]}


def _rewards(judge: Loaded, prompts: Sequence[Messages], texts: Sequence[str]) -> list[float]:
    pairs = [(messages, [text]) for messages, text in zip(prompts, texts, strict=True)]
    return [float(rewards[0]) for rewards in scoring.score(judge.model, judge.tokenizer, pairs)]
