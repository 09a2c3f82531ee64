"""Sample several answers to each prompt from a policy, so that annotators can rank the answers.

Four metrics are reported for each batch of prompts. `mean_tokens` is the mean number of tokens per answer.
`finished_share` is the share of answers that ended with a stop token. `distinct_share` is the share of
answers that remain after empty answers and duplicate answers to the same prompt are removed.
`tokens_per_second` is the number of generated tokens per second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import NullReporter, Reporter
from training.rlhf.generation.answering import answers_to
from training.rlhf.generation.engines import open_engine
from training.rlhf.generation.interface import Sampling
from training.rlhf.models.loading.opening import open_policy
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.models.tokens import chat
from training.rlhf.models.tokens.templates import arguments_of
from training.rlhf.recipes.answers import SampleConfig

PROMPTS_PER_BATCH = 64  # number of prompts that are answered together and share one metrics report


@dataclass(frozen=True)
class SampledPrompt:
    """The answers to one prompt as (text, sampling settings), without duplicate or empty texts.

    There can be fewer answers than requested. For example, a policy that always gives the same answer yields
    only one distinct answer.
    """

    messages: Messages
    responses: list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Sampled:
    """The sampled answers. `cut` is the number of prompts that were truncated to fit the context. `refused`
    is the number of prompts that the chat template can't render. These prompts have no answers."""

    prompts: list[SampledPrompt]
    cut: int
    refused: int


def sample(
    config: SampleConfig,
    *,
    policy: ModelSource,
    prompts: Sequence[Messages],
    report: Reporter | None = None,
) -> Sampled:
    """Sample answers to each prompt from `policy`, in the order of `prompts`. Raises `ModelNotFound`,
    `Cancelled` or, if there are no usable prompts, `ValueError`."""
    report = report or NullReporter()
    loaded = open_policy(policy, config.arguments_of_template)
    settings = config.model_dump(include={"temperature", "top_p", "max_new_tokens", "seed"})
    batches = answers_to(
        prompts,
        policy=loaded,
        engine=open_engine(config),
        sampling=Sampling(
            config.max_new_tokens, config.responses_per_prompt, config.temperature, config.top_p
        ),
        prompts_per_batch=PROMPTS_PER_BATCH,
        seed=config.seed,
        purpose="sample",
        check=report.check,
        progress=lambda done, total: report.progress("sample", done, total),
    )
    if arguments := arguments_of(loaded.tokenizer):
        settings["template_arguments"] = arguments
    sampled: list[SampledPrompt] = []
    cut = refused = 0
    for batch in batches:
        kept = []
        for messages, completions in zip(batch.prompts, batch.answers, strict=True):
            finished = {chat.decode(loaded.tokenizer, c.content): c.finished for c in reversed(completions)}
            texts = [
                (text, settings | {"finished": done}) for text, done in reversed(finished.items()) if text
            ]
            kept.append(SampledPrompt(messages, texts))
        sampled += kept
        cut, refused = cut + batch.cut, refused + batch.refused
        distinct = sum(len(one.responses) for one in kept) / len(batch.completions)
        report.metrics(len(sampled), batch.metrics() | {"distinct_share": distinct})
    return Sampled(sampled, cut, refused)
