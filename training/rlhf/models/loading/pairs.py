"""Check whether a loaded policy and reward model encode conversations identically (see `checks.pair`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from training.rlhf.models.checks import pair
from training.rlhf.models.checks.probes import PROBES, Reading, shortened
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.parts.trunks import vocabulary_rows
from training.rlhf.models.tokens import chat
from training.rlhf.models.tokens.templates import arguments_of


def refuse_other_tokens(policy: Loaded, judge: Loaded) -> None:
    """Raise Refused if the reward model and the policy encode a conversation as different tokens, or if the
    reward model has no embedding for a token that the policy can generate. Both models encode the
    conversation with the policy's template arguments."""
    pair.refuse_other_vocabulary(policy.tokenizer.get_vocab(), judge.tokenizer.get_vocab())
    arguments = arguments_of(policy.tokenizer)
    pair.refuse_other_reading(reading_of(policy.tokenizer), reading_of(judge.tokenizer, arguments))
    pair.refuse_fewer_rows(
        max(chat.id_limit(policy.tokenizer), *(stop + 1 for stop in chat.stop_ids(*policy))),
        policy_rows=vocabulary_rows(policy.model),
        judge_rows=vocabulary_rows(judge.model),
    )


def reading_of(tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any] | None = None) -> Reading:
    """Encode `PROBES` with the tokenizer and its chat template. `arguments` replaces the tokenizer's own
    template arguments."""
    ids: list[list[int] | None] = []
    for messages in PROBES.values():
        try:
            ids.append(chat.encode_prompt(tokenizer, messages, arguments))
        except chat.TemplateRefuses:
            ids.append(None)
    texts = ["" if one is None else shortened(str(tokenizer.decode(one))) for one in ids]
    return Reading(ids, texts, str(tokenizer.convert_ids_to_tokens(chat.eos_id(tokenizer))))
