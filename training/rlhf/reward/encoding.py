"""Encode rankings as token groups, one group per ranking, within the model's length limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from training.rlhf.data.batching import Group, ResponseTooLongError, fit_group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models import chat
from training.rlhf.reward.answer_model import AnswerKey

NOTHING_LEARNED = AnswerKey()


def encode_rankings(
    rankings: Sequence[Ranking],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    ties: str,
    key: AnswerKey = NOTHING_LEARNED,
) -> tuple[list[Group], dict[str, int], int]:
    """Return the token groups, the number of omitted rankings by reason, and the number of truncated prompts.

    Reasons: ``fewer_than_two_responses``; ``all_tied`` if ties are ignored (no pair to learn from);
    ``refused_by_template`` if the chat template cannot render the prompt; ``response_too_long`` if a response
    leaves no room for its prompt in ``max_length`` tokens (a response is never truncated, because its score
    is read at its end).
    """
    groups: list[Group] = []
    left_out: Counter[str] = Counter()
    prompts_cut = 0
    for number, ranking in enumerate(rankings):
        if len(ranking.responses) < 2:
            left_out["fewer_than_two_responses"] += 1
            continue
        if ranking.all_tied and ties == "ignore":
            left_out["all_tied"] += 1
            continue
        try:
            prompt = chat.encode_prompt(tokenizer, ranking.messages)
        except chat.TemplateRefuses:
            left_out["refused_by_template"] += 1
            continue
        responses = [chat.encode_response(tokenizer, text) for text in ranking.responses]
        name = ranking.ranking_id or f"ranking {number}"
        try:
            whole = Group(
                prompt,
                responses,
                ranking.tier_of_each(),
                ranking.weight,
                name,
                strength=key.levels.get(ranking.strength or 0, 0),
                annotator=key.annotators.get(ranking.annotator, 0),
                in_shown_order=ranking.in_shown_order,
            )
            group, was_cut = fit_group(whole, max_length=max_length, cls=tokenizer.cls_token_id)
        except ResponseTooLongError:
            left_out["response_too_long"] += 1
            continue
        groups.append(group)
        prompts_cut += was_cut
    return groups, dict(left_out), prompts_cut
