"""Choose the prompts whose answers have the most varied rewards.

Group-relative methods learn from the differences between the rewards of the answers to a prompt. A prompt
whose answers all have the same reward has no effect (DAPO, arXiv 2503.14476, section 3.2), and in rejection
sampling, the best of such answers is no better than the others. The spread is measured once, with answers of
the starting policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Reporter
from training.rlhf.core.seeds import generator_for, seeds_from
from training.rlhf.generation.engines import local_engine
from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.prompts import encode_prompts
from training.rlhf.judging.judges import Asked, Judged, open_judges
from training.rlhf.models.loading.opening import open_policy
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.models.loading.trainable import dtype_of
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.selection.candidates import score
from training.rlhf.selection.selection import SAME_REWARD

PROMPTS_PER_BATCH = 64
PHASE = "measure spread"

Rewards = list[list[float]]  # for each prompt, the rewards of its answers


@dataclass(frozen=True)
class Measured:
    """The usable prompts with the rewards of their answers, with shape (P, K). A reward is NaN if the loop
    could not use the answer. `refused` counts the prompts that the chat template can't render."""

    messages: Sequence[Messages]
    rewards: Tensor
    refused: int


def spreads_of(rewards: Tensor) -> Tensor:
    """Return the population standard deviation of each prompt's rewards, in the unit of the rewards.
    `rewards` has shape (P, K), and the result has shape (P,). NaN rewards are ignored. A spread is 0 if fewer
    than two rewards are left, or if they differ only by rounding."""
    usable = ~rewards.isnan()
    number = usable.sum(dim=1).clamp(min=1)
    filled = rewards.nan_to_num(nan=0.0)
    mean = (filled.sum(dim=1) / number).unsqueeze(1)
    deviations = ((filled - mean) * usable).square().sum(dim=1) / number
    highest = rewards.masked_fill(~usable, -math.inf).amax(dim=1)
    lowest = rewards.masked_fill(~usable, math.inf).amin(dim=1)
    differs = (usable.sum(dim=1) > 1) & (highest - lowest >= SAME_REWARD)
    return torch.where(differs, deviations.sqrt(), torch.zeros_like(deviations))


def most_varied(spreads: Tensor, share: float) -> list[int]:
    """Return the indices of the prompts to use, in ascending order: the `share` · P prompts with the largest
    spreads, where `share` · P is rounded up. Prompts with a spread of 0 are never used, so the result can
    contain fewer prompts. Of several prompts with the same spread, the first prompts are used. `spreads` has
    shape (P,)."""
    values = spreads.tolist()
    # Due to rounding, the product can be slightly above the exact value: 0.07 * 100 is 7.000000000000001.
    most = math.ceil(round(share * len(values), 6))
    varied = [index for index, spread in enumerate(values) if spread > 0]
    return sorted(sorted(varied, key=lambda index: -values[index])[:most])


def complete_batches(rewards: Rewards) -> Rewards:
    """Return the rewards without those of an incomplete last batch, which is measured again."""
    return rewards[: len(rewards) - len(rewards) % PROMPTS_PER_BATCH]


def measure(
    config: RolloutConfig | RejectionSamplingConfig,
    *,
    samples: int,
    policy: ModelSource,
    reward_models: Mapping[str, ModelSource],
    prompts: Sequence[Messages],
    report: Reporter,
    known: Rewards | None = None,
    keep: Callable[[Rewards], None] = lambda rewards: None,
) -> Measured:
    """Sample `samples` answers to each prompt, and score them as a loop with these settings would score
    answers at its start.

    `keep` is called with the rewards of each batch of PROMPTS_PER_BATCH prompts. `known` contains the rewards
    that an earlier, interrupted call with the same arguments passed to `keep`. The result is then the same as
    without the interruption. Raises Cancelled, and ValueError for unusable inputs.
    """
    dtype = dtype_of(config)
    loaded = open_policy(policy, config.arguments_of_template, dtype=dtype)
    judges = open_judges(reward_models, config, policy=loaded, dtype=dtype)
    eos = chat.eos_id(loaded.tokenizer)
    # One position is reserved for the EOS that is appended to a truncated answer.
    room = chat.context_length(loaded.model) - config.max_new_tokens - 1
    asked = encode_prompts(loaded.tokenizer, prompts, limit=room)
    # A server can't load an adapter that has been merged into the base model, so the answers are generated
    # locally.
    engine = local_engine(config)
    rewards = complete_batches(known or [])
    total = len(asked.ids)
    report.progress(PHASE, len(rewards), total)
    for start in range(len(rewards), total, PROMPTS_PER_BATCH):
        report.check()
        chosen = range(start, min(start + PROMPTS_PER_BATCH, total))
        answers = engine.generate(
            loaded,
            [asked.ids[i] for i in chosen],
            Sampling(
                config.max_new_tokens,
                samples,
                temperature=config.temperature,
                top_p=getattr(config, "top_p", 1.0),
            ),
            seeds=seeds_from(generator_for(config.seed, "spread of rewards", start), len(chosen)),
            check=report.check,
            progress=partial(_report_prompts, report, start, samples, total),
        )
        questions = [
            Asked(asked.messages[i], asked.ids[i], [one.ended(eos) for one in group])
            for i, group in zip(chosen, answers, strict=True)
        ]
        judged = score(judges, questions, report.check, judges.initial_state())
        found: Rewards = _rewards(config, judged, answers).view(len(chosen), samples).tolist()
        rewards += found
        keep(found)
        report.progress(PHASE, len(rewards), total)
    return Measured(asked.messages, torch.tensor(rewards, dtype=torch.float64), asked.refused)


def _rewards(
    config: RolloutConfig | RejectionSamplingConfig, judged: Judged, answers: Sequence[Sequence[Completion]]
) -> Tensor:
    """Return the rewards that the loop compares, with shape (A,), without the KL penalty."""
    flat = [one for group in answers for one in group]
    finished = torch.tensor([one.finished for one in flat])
    if isinstance(config, RejectionSamplingConfig):
        return judged.scores.masked_fill(~finished, math.nan)
    lengths = torch.tensor([len(one.ids) for one in flat])
    scores = judged.scores.clamp(-config.score_clip, config.score_clip)
    return scores - config.missing_eos_penalty * ~finished - config.length_penalty * lengths


def _report_prompts(report: Reporter, behind: int, samples: int, total: int, answers: int, _: int) -> None:
    report.progress(PHASE, behind + answers // samples, total)
