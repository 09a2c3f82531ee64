"""The requests for completions, and the checks of the server's responses.

The protocol is that of OpenAI's `/v1/completions` with the additions of vLLM: prompts and answers as token
IDs (`return_token_ids`, or `return_tokens_as_token_ids` with log-probabilities), and `stop_token_ids`
(docs.vllm.ai, "OpenAI-Compatible Server"). Text is never tokenised again: the IDs of a text often differ from
the IDs that the model sampled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from transformers import PreTrainedTokenizerBase

from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.server.connections import Answer
from training.rlhf.generation.server.failures import ServerTrouble, ServerUnusable

AS_ID = "token_id:"
SHOWN = 80  # maximum number of characters of a text that an error shows
# A server leaves out an incomplete character at the end of a text, and servers differ in the spaces between
# special tokens.
NOT_COMPARED = re.compile("[\ufffd\\s]+")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The token IDs that a policy can generate: IDs below `known`, and the stop tokens `stops`. `banned`
    are the other IDs of the model's output, which have no text."""

    tokenizer: PreTrainedTokenizerBase
    known: int
    stops: Sequence[int]
    banned: Sequence[int] = ()


def completion_request(
    model: str, prompt: Sequence[int], sampling: Sampling, seed: int, vocabulary: Vocabulary
) -> dict[str, Any]:
    """Return the body of a request for `sampling.n` answers to one prompt.

    Every setting that changes the distribution is in the request. Otherwise, vLLM would take the missing
    settings from the model's `generation_config.json`, which often contains a top-k and a repetition penalty.
    """
    body = {
        "model": model,
        "prompt": list(prompt),
        # At temperature 0, all answers are equal, and vLLM refuses to sample several answers.
        "n": sampling.n if sampling.temperature > 0 else 1,
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": -1,
        "min_p": 0.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
        "seed": seed,
        "stop_token_ids": list(vocabulary.stops),
        "logprobs": 1,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }
    return body | (
        {"logit_bias": dict.fromkeys(map(str, vocabulary.banned), -100)} if vocabulary.banned else {}
    )


def json_of(answer: Answer, what: str) -> Any:
    """Return the JSON of a successful response. Raises ServerUnusable if the body is not JSON."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise ServerUnusable(
            f"the server's response to {what} is not JSON: {answer.words!r}. Check that `server` is the"
            " address of an OpenAI-compatible server"
        ) from None


def read_completions(
    answer: Answer, prompt: Sequence[int], sampling: Sampling, vocabulary: Vocabulary
) -> list[Completion]:
    """Return the answers to one prompt. Raises ServerUnusable if the server's response can't be used, and
    ServerTrouble if the server has aborted the request."""
    found = json_of(answer, "a request for completions")
    choices = found.get("choices") if isinstance(found, dict) else None
    n = sampling.n if sampling.temperature > 0 else 1
    if (
        not isinstance(choices, list)
        or len(choices) != n
        or not all(isinstance(one, dict) for one in choices)
    ):
        _unusable(f"it does not contain {n} choices")
    completions = [_completion(choice, prompt, sampling, vocabulary) for choice in choices]
    return completions if sampling.temperature > 0 else completions * sampling.n


def _completion(
    choice: dict[str, Any], prompt: Sequence[int], sampling: Sampling, vocabulary: Vocabulary
) -> Completion:
    reason = choice.get("finish_reason")
    if reason in ("abort", "error"):  # the server is shutting down, or failed during the request
        raise ServerTrouble(f"it ended an answer with finish_reason {reason!r}")
    given = choice.get("prompt_token_ids")
    if given is not None and given != list(prompt):
        _unusable(
            f"the prompt that the server read differs from the {len(prompt)} tokens that were sent to it"
        )
    ids, log_probs = _ids_of(choice), _log_probs_of(choice)
    if log_probs is not None and len(log_probs) != len(ids):
        _unusable(f"it has {len(ids)} token IDs, but {len(log_probs)} log-probabilities")
    limit, stops = sampling.max_new_tokens, set(vocabulary.stops)
    end = next((place for place, one in enumerate(ids, start=1) if one in stops), None)
    continued = end is not None and end < len(ids)  # the server doesn't treat this token as a stop token
    if continued:
        ids, log_probs = ids[:end], None if log_probs is None else log_probs[:end]
    if unknown := [one for one in ids if not 0 <= one < vocabulary.known and one not in stops]:
        _unusable(
            f"it contains the token ID {unknown[0]}, but the policy's tokenizer has IDs up to"
            f" {vocabulary.known - 1}. The server's model is not this policy"
        )
    if end is None and (reason != "length" or len(ids) != limit):
        _refuse_early_end(reason, ids, limit)
    completion = Completion(ids, end is not None, log_probs)
    if not continued and (end is None or reason == "stop"):
        _refuse_other_text(choice.get("text"), completion, vocabulary.tokenizer)
    return completion


def _ids_of(choice: dict[str, Any]) -> list[int]:
    ids = choice.get("token_ids")
    if ids is None:
        tokens = _of_log_probs(choice, "tokens") or []
        texts = [one for one in tokens if isinstance(one, str) and one.startswith(AS_ID)]
        if not texts or len(texts) != len(tokens):
            _unusable(
                "it contains no token IDs. The server must support return_token_ids (vLLM 0.10.2 or later)"
            )
        ids = [_number(one.removeprefix(AS_ID)) for one in texts]
    if not isinstance(ids, list) or not ids or not all(type(one) is int for one in ids):
        _unusable("its token IDs are not a list of whole numbers")
    return ids


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _log_probs_of(choice: dict[str, Any]) -> list[float] | None:
    values = _of_log_probs(choice, "token_logprobs")
    if values is None:
        return None
    if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in values):
        _unusable("its log-probabilities are not finite numbers")
    return [float(one) for one in values]


def _of_log_probs(choice: dict[str, Any], key: str) -> list[Any] | None:
    found = choice.get("logprobs")
    values = found.get(key) if isinstance(found, dict) else None
    return values if isinstance(values, list) else None


def _refuse_early_end(reason: Any, ids: list[int], limit: int) -> NoReturn:
    if reason == "length":
        _unusable(
            f"the server truncated it at {len(ids)} tokens, but max_new_tokens is {limit}. Start the"
            " server with a longer context (--max-model-len), or lower max_new_tokens"
        )
    _unusable(
        f"the server ended it (finish_reason {reason!r}) after the token ID {ids[-1]}, which is not a"
        " stop token of the policy. Start the server with --generation-config vllm and without stop strings"
    )


def _refuse_other_text(text: Any, completion: Completion, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ServerUnusable if the text of the answer does not match its token IDs."""
    if not isinstance(text, str):
        _unusable("it contains no text")
    own = str(tokenizer.decode(completion.content, skip_special_tokens=True))
    if NOT_COMPARED.sub("", text) != NOT_COMPARED.sub("", own):
        _unusable(
            f"its text is {text[:SHOWN]!r}, but the policy's tokenizer decodes its token IDs as"
            f" {own[:SHOWN]!r}. The server's tokenizer is not the policy's"
        )


def _unusable(reason: str) -> NoReturn:
    raise ServerUnusable(f"the server's answer can't be used: {reason}")
