"""Checks and hashes content before it is stored. This module does not access the database, so an import can
prepare the next batch while the previous batch is being written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation.models.content import Split
from annotation.models.task import RankingTask
from preferences.text import MAX_RESPONSES, MIN_RESPONSES, ROLES, name_fault, text_fault

HELDOUT_ONE_IN = 10


class BadDraft(Exception):
    """The draft can't be stored; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class ResponseDraft:
    text: str
    model_name: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """A task to be added. `gold_tiers` contains tiers of indices into `responses`, best first, and is
    required for a check (see `kind`).

    `metadata` belongs to the prompt, and `task_metadata` belongs to this set of responses.
    """

    messages: Sequence[Mapping[str, str]]
    responses: Sequence[ResponseDraft]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    gold_tiers: Sequence[Sequence[int]] | None = None
    task_metadata: Mapping[str, Any] = field(default_factory=dict)
    kind: str = RankingTask.Kind.RANKING


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft that can be stored, with its identifying hashes."""

    draft: TaskDraft
    prompt_hash: str
    response_hashes: tuple[str, ...]
    content_key: str


def prepared(draft: TaskDraft, *, as_task: bool = True) -> Prepared:
    """Checks and hashes a draft. The number of responses is checked only if `as_task` is true. Raises
    BadDraft."""
    if reason := reason_to_refuse_prompt(draft.messages) or _reason_to_refuse(draft, as_task):
        raise BadDraft(reason)
    hashes = tuple([response_hash(response.text, response.model_name) for response in draft.responses])
    if len(set(hashes)) < len(hashes):
        raise BadDraft("two responses have the same text and the same model name")
    p_hash = prompt_hash(draft.messages)
    return Prepared(draft, p_hash, hashes, content_key(p_hash, hashes))


def prompt_hash(messages: Sequence[Mapping[str, str]]) -> str:
    """SHA-256 (hex) of a conversation's roles and texts. The hash determines the prompt's identity and
    split."""
    return _sha256([[message["role"], message["content"]] for message in messages])


def response_hash(text: str, model_name: str) -> str:
    """SHA-256 (hex) of a response's text and model name. The same text from two models is treated as two
    responses."""
    return _sha256([text, model_name])


def content_key(prompt_hash: str, response_hashes: Sequence[str]) -> str:
    """A task's identity: its prompt and its responses, regardless of the responses' order."""
    return _sha256([prompt_hash, *sorted(response_hashes)])


def split_of(prompt_hash: str) -> Split:
    """Holds out one prompt in ten, selected by hash, so a prompt has the same split in every project."""
    return Split.HELDOUT if int(prompt_hash[:12], 16) % HELDOUT_ONE_IN == 0 else Split.TRAIN


def _reason_to_refuse(draft: TaskDraft, as_task: bool) -> str | None:
    if as_task and not MIN_RESPONSES <= len(draft.responses) <= MAX_RESPONSES:
        return f"the task must have {MIN_RESPONSES} to {MAX_RESPONSES} responses, not {len(draft.responses)}"
    for number, response in enumerate(draft.responses):
        if fault := text_fault(response.text):
            return f"response {number} {fault}"
        if fault := name_fault(response.model_name):
            return f"the model name of response {number} {fault}"
    if draft.gold_tiers is not None:
        gold = sorted(index for tier in draft.gold_tiers for index in tier)
        if gold != list(range(len(draft.responses))) or not all(draft.gold_tiers):
            return "the gold tiers must name each response exactly once"
    if RankingTask.Kind(draft.kind).is_check and len(draft.gold_tiers or ()) < 2:
        return f"a {draft.kind} task needs gold_tiers that put at least one response above the others"
    return None


def reason_to_refuse_prompt(messages: Sequence[Mapping[str, str]]) -> str | None:
    if not messages:
        return "the prompt has no messages"
    for number, message in enumerate(messages):
        if set(message) != {"role", "content"} or not isinstance(message["content"], str):
            return f"message {number} must consist of a role and text content"
        if message["role"] not in ROLES:
            return f"message {number} has the role {message['role']!r}; valid roles are {', '.join(ROLES)}"
        if fault := text_fault(message["content"]):
            return f"message {number} {fault}"
    return None


# The encoder is created only once, because json.dumps with options would create a new encoder for each call.
_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _sha256(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()
