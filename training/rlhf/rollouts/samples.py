"""Readable sample answers, which show people how a policy changes during a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from training.rlhf.core.memory import halves_of, within_memory
from training.rlhf.core.reporter import Reporter
from training.rlhf.core.seeds import generator_for, seeds_from
from training.rlhf.data.answers import Row, lay_out_rows
from training.rlhf.generation.interface import Sampling
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.samples import answer_scores, before_and_after
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.objectives.kl import kl_k1
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.rollout import Models, score


class SampleAnswer(NamedTuple):
    """A readable answer to one of the sample prompts, and its scores (`judging.samples.answer_scores`)."""

    text: str
    scores: dict[str, float]


@torch.no_grad()
def sample_answers(
    config: RolloutConfig,
    models: Models,
    prompts: EncodedPrompts,
    policy: PreTrainedModel,
    *,
    kl_coefficient: float | None = None,
    floors: FloorState | None = None,
) -> list[SampleAnswer]:
    """Answer the first few prompts with `policy`. The random numbers are the same in every call, so the
    answers differ only if the policies differ. Without `kl_coefficient`, the KL of the answers is not
    measured."""
    messages, ids = prompts.messages[: config.samples], prompts.ids[: config.samples]
    if not ids:
        return []
    answers = models.engine.generate(
        Loaded(policy, models.tokenizer),
        ids,
        Sampling(config.max_new_tokens, temperature=config.temperature),
        seeds=seeds_from(generator_for(config.seed, "samples"), len(ids)),
    )
    judged = score(models, messages, ids, answers, floors)
    texts = [chat.decode(models.tokenizer, group[0].content) for group in answers]
    if kl_coefficient is None:
        return [SampleAnswer(text, answer_scores(judged, i)) for i, text in enumerate(texts)]
    rows = [Row(prompt, group[0].ids) for prompt, group in zip(ids, answers, strict=True)]

    def kl_of(part: Sequence[Row]) -> list[float]:
        laid_out = lay_out_rows(
            part, layout=models.layout, pad_id=chat.eos_id(models.tokenizer), device=policy.device
        )
        own = token_log_probs(policy, laid_out.inputs, temperature=config.temperature)
        with models.reference.active() as model:
            reference = token_log_probs(model, laid_out.inputs, temperature=config.temperature)
        found = kl_k1(laid_out.per_answer(own), laid_out.per_answer(reference)).sum(dim=1)
        return found.tolist()

    passes = within_memory(
        policy,
        [rows],
        kl_of,
        size=lambda part: sum(row.length for row in part),
        halves=halves_of,
        what="measuring the KL divergence of the samples",
    )
    kl = [one for _, found in passes for one in found]
    return [
        SampleAnswer(text, answer_scores(judged, i, kl=kl[i], kl_coefficient=kl_coefficient))
        for i, text in enumerate(texts)
    ]


def report_samples(
    report: Reporter,
    step: int,
    prompts: EncodedPrompts,
    before: Sequence[SampleAnswer],
    after: Sequence[SampleAnswer],
) -> None:
    shown = prompts.messages[: len(before)]
    for messages, old, new in zip(shown, before, after, strict=True):
        scores = before_and_after(old.scores, new.scores)
        report.sample(step, messages=messages, before=old.text, after=new.text, scores=scores)
