"""Ask a policy: it answers prompts several times over, and the answers go to people to be ranked.

Reported per batch of prompts: `mean_tokens` per answer, `finished_share` (answers that ended by
themselves) and
`distinct_share` (answers left when those that say the same to the same prompt are taken out).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.rlhf import chat
from training.rlhf.generation import generate
from training.rlhf.loading import ModelSource, open_policy
from training.rlhf.messages import Messages
from training.rlhf.recipes import SampleConfig
from training.rlhf.report import NullReporter, Reporter

PROMPTS_PER_BATCH = 64  # progress is reported, and a cancelled run noticed, this often


@dataclass(frozen=True)
class SampledPrompt:
    """The answers to one prompt: (text, how it was sampled), no text twice and none empty.

    There may be fewer answers than were asked for: a policy that always says the same has one answer.
    """

    messages: Messages
    responses: list[tuple[str, dict[str, Any]]]


def sample(
    config: SampleConfig,
    *,
    policy: ModelSource,
    prompts: Sequence[Messages],
    report: Reporter | None = None,
) -> list[SampledPrompt]:
    """Answers of `policy` to each prompt, in the order of `prompts`. Raises `ModelNotFound`, `Cancelled`."""
    report = report or NullReporter()
    model, tokenizer = open_policy(policy)
    settings = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_new_tokens": config.max_new_tokens,
        "seed": config.seed,
    }
    sampled: list[SampledPrompt] = []
    for start in range(0, len(prompts), PROMPTS_PER_BATCH):
        report.check()
        chosen = prompts[start : start + PROMPTS_PER_BATCH]
        encoded = [chat.encode_prompt(tokenizer, messages) for messages in chosen]
        answers = generate(
            model,
            tokenizer,
            encoded,
            n=config.responses_per_prompt,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=config.seed + start,
            check=report.check,
        )
        kept = []
        for messages, completions in zip(chosen, answers, strict=True):
            finished = {chat.decode(tokenizer, c.ids): c.finished for c in reversed(completions)}
            texts = [
                (text, settings | {"finished": done}) for text, done in reversed(finished.items()) if text
            ]
            kept.append(SampledPrompt(messages, texts))
        sampled += kept
        flat = [completion for completions in answers for completion in completions]
        step = len(sampled)
        report.metrics(
            step,
            {
                "mean_tokens": sum(len(c.ids) for c in flat) / len(flat),
                "finished_share": sum(c.finished for c in flat) / len(flat),
                "distinct_share": sum(len(one.responses) for one in kept) / len(flat),
            },
        )
        report.progress("sample", step, len(prompts))
    return sampled
