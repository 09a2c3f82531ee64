"""Encode rankings as token groups, one group per ranking, within the model's length limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from training.rlhf.data.batching import Group, ResponseTooLongError, fit_group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.tokens import chat
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

    Rankings are omitted for these reasons:

    - ``fewer_than_two_responses``: there is no pair of responses.
    - ``all_tied``: all responses are tied and ties are ignored, so there is no pair to learn from.
    - ``refused_by_template``: the chat template cannot render the prompt.
    - ``identical_after_encoding``: all responses have the same tokens. This happens, for example, if the
      responses differ only in text that spells out a control token.
    - ``response_too_long``: a response leaves no room for its prompt in ``max_length`` tokens. A response is
      never truncated, because its score is read at its end.

    If several responses have the same tokens, only one of them is kept (`distinct_responses`).
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
        tiers = ranking.tier_of_each()
        kept = distinct_responses(responses, tiers)
        if len(kept) < 2:
            left_out["identical_after_encoding"] += 1
            continue
        if len({tiers[index] for index in kept}) < 2 and ties == "ignore":
            left_out["all_tied"] += 1
            continue
        name = ranking.ranking_id or f"ranking {number}"
        try:
            whole = Group(
                prompt,
                [responses[index] for index in kept],
                [tiers[index] for index in kept],
                ranking.weight,
                name,
                strength=key.levels.get(ranking.strength or 0, 0),
                annotator=key.annotators.get(ranking.annotator, 0),
                # If a response is dropped, the display positions of the remaining responses are unknown.
                in_shown_order=ranking.in_shown_order and len(kept) == len(responses),
                all_bad=ranking.all_bad,
            )
            group, was_cut = fit_group(whole, max_length=max_length, cls=tokenizer.cls_token_id)
        except ResponseTooLongError:
            left_out["response_too_long"] += 1
            continue
        groups.append(group)
        prompts_cut += was_cut
    return groups, dict(left_out), prompts_cut


def distinct_responses(responses: Sequence[Sequence[int]], tiers: Sequence[int]) -> list[int]:
    """Return the indices of the distinct responses, in order. Of several equal responses, the response in the
    best tier is kept, as when rankings are imported."""
    best: dict[tuple[int, ...], int] = {}
    for index, response in enumerate(responses):
        tokens = tuple(response)
        if tokens not in best or tiers[index] < tiers[best[tokens]]:
            best[tokens] = index
    return sorted(best.values())


def count_control_tokens(rankings: Iterable[Ranking], tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of rankings in which a message or a response spells out a control token. Encoding
    removes control tokens from these texts."""
    return sum(
        chat.contains_control_tokens(
            tokenizer, [*(message["content"] for message in ranking.messages), *ranking.responses]
        )
        for ranking in rankings
    )
