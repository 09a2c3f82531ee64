"""The sample answers of a rejection sampling run: the most likely answers before and after training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from training.rlhf.core.reporter import Reporter
from training.rlhf.generation.likely import likely_answers
from training.rlhf.generation.prompts import EncodedPrompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Asked, Judges
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.selection.candidates import score


def first_answers(
    config: SFTConfig, policy: Loaded, asked: EncodedPrompts, check: Callable[[], None]
) -> list[list[int]]:
    """Return the most likely answer to each of the first `sample_prompts` prompts, with one EOS at the
    end."""
    prompts = asked.ids[: config.sample_prompts]
    found = likely_answers(policy, prompts, max_tokens=config.sample_tokens, check=check)
    return [one.ended(chat.eos_id(policy.tokenizer)) for one in found]


def report_samples(
    step: int,
    judges: Judges,
    floors: FloorState,
    asked: EncodedPrompts,
    before: Sequence[list[int]],
    after: Sequence[list[int]],
    report: Reporter,
) -> None:
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        question = Asked(asked.messages[i], asked.ids[i], [old, new])
        judged = score(judges, [question], report.check, floors)
        named = {"reward": judged.scores} | {f"reward_raw/{name}": raw for name, raw in judged.parts.items()}
        values = {
            f"{name}_{when}": float(pair[j])
            for name, pair in named.items()
            for j, when in enumerate(("before", "after"))
            if not math.isnan(float(pair[j]))
        }
        texts = [chat.decode(judges.policy, ids) for ids in (old, new)]
        report.sample(step, messages=asked.messages[i], before=texts[0], after=texts[1], scores=values)
