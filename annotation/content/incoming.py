"""Content before it is stored: checked, and known by its hashes. No database here, so an import prepares the
next batch while the one before is being written."""

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
    """The draft can't be stored; the text says why."""


@dataclass(frozen=True, slots=True)
class ResponseDraft:
    text: str
    model_name: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """A task to be. `gold_tiers` are indices into `responses`, best first; a check (`kind`) has them.

    `metadata` is the prompt's; `task_metadata` says more of this set of responses.
    """

    messages: Sequence[Mapping[str, str]]
    responses: Sequence[ResponseDraft]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    gold_tiers: Sequence[Sequence[int]] | None = None
    task_metadata: Mapping[str, Any] = field(default_factory=dict)
    kind: str = RankingTask.Kind.RANKING


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft that can be stored, with the hashes that identify it."""

    draft: TaskDraft
    prompt_hash: str
    response_hashes: tuple[str, ...]
    content_key: str


def prepared(draft: TaskDraft, *, as_task: bool = True) -> Prepared:
    """Checks and hashes. A draft that is no task may have any number of responses. Raises BadDraft."""
    if reason := reason_to_refuse_prompt(draft.messages) or _reason_to_refuse(draft, as_task):
        raise BadDraft(reason)
    hashes = tuple([response_hash(response.text, response.model_name) for response in draft.responses])
    if len(set(hashes)) < len(hashes):
        raise BadDraft("two of its responses are the same, from the same model")
    p_hash = prompt_hash(draft.messages)
    return Prepared(draft, p_hash, hashes, content_key(p_hash, hashes))


def prompt_hash(messages: Sequence[Mapping[str, str]]) -> str:
    """SHA-256 (hex) of a conversation's roles and texts; it decides identity and split."""
    return _sha256([[message["role"], message["content"]] for message in messages])


def response_hash(text: str, model_name: str) -> str:
    """SHA-256 (hex). The model counts: the same words from two models are two responses."""
    return _sha256([text, model_name])


def content_key(prompt_hash: str, response_hashes: Sequence[str]) -> str:
    """What makes a task the same task: its prompt and its responses, in any order."""
    return _sha256([prompt_hash, *sorted(response_hashes)])


def split_of(prompt_hash: str) -> Split:
    """One prompt in ten is held out. The hash decides, so a prompt is on one side everywhere and for ever."""
    return Split.HELDOUT if int(prompt_hash[:12], 16) % HELDOUT_ONE_IN == 0 else Split.TRAIN


def _reason_to_refuse(draft: TaskDraft, as_task: bool) -> str | None:
    if as_task and not MIN_RESPONSES <= len(draft.responses) <= MAX_RESPONSES:
        return f"it has {len(draft.responses)} responses; a task has {MIN_RESPONSES} to {MAX_RESPONSES}"
    for number, response in enumerate(draft.responses):
        if fault := text_fault(response.text):
            return f"response {number} {fault}"
        if fault := name_fault(response.model_name):
            return f"the model name of response {number} {fault}"
    if draft.gold_tiers is not None:
        gold = sorted(index for tier in draft.gold_tiers for index in tier)
        if gold != list(range(len(draft.responses))) or not all(draft.gold_tiers):
            return "its gold tiers don't name each response once"
    if RankingTask.Kind(draft.kind).is_check and len(draft.gold_tiers or ()) < 2:
        return f"a {draft.kind} task needs gold_tiers that put at least one response above the others"
    return None


def reason_to_refuse_prompt(messages: Sequence[Mapping[str, str]]) -> str | None:
    if not messages:
        return "its prompt has no messages"
    for number, message in enumerate(messages):
        if set(message) != {"role", "content"} or not isinstance(message["content"], str):
            return f"message {number} isn't a role and a text content"
        if message["role"] not in ROLES:
            return f"message {number} has the role {message['role']!r}; known are {', '.join(ROLES)}"
        if fault := text_fault(message["content"]):
            return f"message {number} {fault}"
    return None


# One encoder for all: json.dumps builds a new one for each call with options.
_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _sha256(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()
