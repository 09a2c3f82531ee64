"""The arguments of a tokenizer's chat template, and the token with which the template ends a turn.

Arguments such as `enable_thinking=false` are a property of the tokenizer. They are saved in its
`tokenizer_config.json` under ``rankloop`` and used for every prompt that it encodes. A model therefore reads
prompts in the same way in training, in sampling and in later runs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from training.rlhf.models.checks.arguments import refuse_unused
from training.rlhf.models.checks.probes import TEMPLATE_ERRORS
from training.rlhf.models.checks.tokenizer import NOTES, TEMPLATE_ARGUMENTS

# A string that no template contains.
SENTINEL = "0qZ7x"


def arguments_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the tokenizer's template arguments, or an empty dictionary if it has none."""
    notes = tokenizer.init_kwargs.get(NOTES) or {}
    return dict(notes.get(TEMPLATE_ARGUMENTS) or {})


def with_arguments(
    tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any]
) -> PreTrainedTokenizerBase:
    """Return the tokenizer with these additional template arguments. The given tokenizer itself is not
    changed. Raises Refused for an argument that the chat template does not use."""
    if not arguments:
        return tokenizer
    template = tokenizer.get_chat_template() if tokenizer.chat_template else ""
    refuse_unused(arguments, template)
    changed = copy.deepcopy(tokenizer)
    notes = dict(changed.init_kwargs.get(NOTES) or {})
    changed.init_kwargs[NOTES] = notes | {TEMPLATE_ARGUMENTS: arguments_of(tokenizer) | dict(arguments)}
    return changed


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the ID of the token with which the chat template closes the last assistant turn, or None.

    The token is read from a rendered conversation. Only an added token counts, because text such as a line
    break can also occur within an answer.
    """
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": SENTINEL}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, **arguments_of(tokenizer)))
    except TEMPLATE_ERRORS:
        return None
    _, found, rest = text.rpartition(SENTINEL)
    rest = rest.lstrip()
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    closing = [token for token in added if token.strip() and found and rest.startswith(token)]
    return added[max(closing, key=len)] if closing else None
