"""Readable sample answers, which show people how a policy changes during a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedModel

from training.rlhf.core.reporter import Reporter
from training.rlhf.core.seeds import generator_for
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.models import chat
from training.rlhf.policy.rollout import Models, score
from training.rlhf.recipes.rollouts import RolloutConfig


class SampleAnswer(NamedTuple):
    """A readable answer to one of the sample prompts, and its score."""

    text: str
    score: float


def sample_answers(
    config: RolloutConfig, models: Models, prompts: EncodedPrompts, policy: PreTrainedModel
) -> list[SampleAnswer]:
    """Answer the first few prompts with `policy`. The random numbers are the same at every call, so that the
    answers differ only if the policies do."""
    messages, ids = prompts.messages[: config.samples], prompts.ids[: config.samples]
    if not ids:
        return []
    answers = generate(
        policy,
        models.tokenizer,
        ids,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator_for(config.seed, "samples"),
    )
    scores = score(models, messages, ids, answers).scores.tolist()
    texts = [chat.decode(models.tokenizer, group[0].ids) for group in answers]
    return [SampleAnswer(*pair) for pair in zip(texts, scores, strict=True)]


def report_samples(
    report: Reporter,
    step: int,
    prompts: EncodedPrompts,
    before: Sequence[SampleAnswer],
    after: Sequence[SampleAnswer],
) -> None:
    shown = prompts.messages[: len(before)]
    for messages, old, new in zip(shown, before, after, strict=True):
        scores = {"reward_before": old.score, "reward_after": new.score}
        report.sample(step, messages=messages, before=old.text, after=new.text, scores=scores)
