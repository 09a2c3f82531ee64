"""What is shown: prompts, responses and ranking tasks, taken in by the thousand and known by their content.

Adding the same content again changes nothing, so an import can be run twice and a sampling run resumed. Rows
go in as one statement per table and batch (INSERT … SELECT unnest), without a model instance for each.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from annotation.answer_form import Span
from annotation.ids import uuid7
from annotation.models import Project, RankingTask
from annotation.models.content import Split
from annotation.models.project import MAX_OVERLAP
from annotation.models.task import MAX_RESPONSES, MIN_RESPONSES
from annotation.services.bulk import NOW, insert_rows
from annotation.services.forms import current_form, lock_content
from config.problems import FieldProblem, Problem

BATCH_DRAFTS = 1000
# A prompt or a response beyond this is a broken export, not something a person can read and rank.
MAX_TEXT_CHARACTERS = 1_000_000
ROLES = frozenset({"system", "user", "assistant", "tool"})
HELDOUT_ONE_IN = 10
# After this many new tasks the planner's statistics are stale enough to matter to claims.
ANALYZE_AFTER_TASKS = 1000


@dataclass(frozen=True)
class ResponseDraft:
    text: str
    model_name: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskDraft:
    """A task to be. `gold_tiers` are indices into `responses`, best first."""

    messages: Sequence[Mapping[str, str]]
    responses: Sequence[ResponseDraft]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    gold_tiers: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True)
class Refused:
    """`index` counts drafts from 0, in the order they were given."""

    index: int
    reason: str


@dataclass
class Counts:
    """What is new; `unchanged` counts the drafts whose task was there already, or was given twice."""

    prompts: int = 0
    responses: int = 0
    tasks: int = 0
    unchanged: int = 0
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class StoredTask:
    """Where a draft ended up; `response_ids` are in the draft's order."""

    index: int
    task_id: UUID
    prompt_id: UUID
    prompt_hash: str
    response_ids: tuple[UUID, ...]
    created: bool


def prompt_hash(messages: Sequence[Mapping[str, str]]) -> str:
    """SHA-256 (hex) of a conversation's roles and texts; it decides identity and split."""
    return _sha256([[message["role"], message["content"]] for message in messages])


def response_hash(text: str, model_name: str) -> str:
    """SHA-256 (hex). The model counts: the same words from two models are two responses."""
    return _sha256([text, model_name])


def split_of(prompt_hash: str) -> Split:
    """One prompt in ten is held out. The hash decides, so a prompt is on one side everywhere and for ever."""
    return Split.HELDOUT if int(prompt_hash[:12], 16) % HELDOUT_ONE_IN == 0 else Split.TRAIN


def add_ranking_tasks(
    *,
    project: Project,
    items: Iterable[TaskDraft],
    overlap: int | None = None,
    round: int = 0,
    priority: int = 0,
) -> Counts:
    """Adds the tasks not there yet, a transaction per batch of 1000; a bad draft is refused by itself.

    `overlap` is the project's unless given.
    """
    counts = Counts()
    numbered = enumerate(items)
    while batch := list(itertools.islice(numbered, BATCH_DRAFTS)):
        store_tasks(
            project=project, drafts=batch, counts=counts, overlap=overlap, round=round, priority=priority
        )
    if counts.tasks >= ANALYZE_AFTER_TASKS:
        analyze_content()
    return counts


@transaction.atomic
def store_tasks(
    *,
    project: Project,
    drafts: Sequence[tuple[int, TaskDraft]],
    counts: Counts,
    overlap: int | None = None,
    round: int = 0,
    priority: int = 0,
    state: RankingTask.State = RankingTask.State.OPEN,
) -> list[StoredTask]:
    """One batch of numbered drafts; adds to `counts` and says where each accepted draft is stored.

    A task made in a state other than `open` has no open slots: it is a record of something already ranked.
    """
    overlap = project.overlap if overlap is None else overlap
    if not 1 <= overlap <= MAX_OVERLAP:
        raise Problem(
            "The overlap is out of bounds.", errors=[FieldProblem("overlap", f"It is 1 to {MAX_OVERLAP}.")]
        )
    lock_content(project)
    # What is ranked already is a record, whatever a form asks now; what is to be ranked has to fit the form.
    fits = current_form(project).responses if state == RankingTask.State.OPEN else Span()
    accepted: list[tuple[int, TaskDraft, str, list[str]]] = []
    for index, draft in drafts:
        if reason := _reason_to_refuse(draft) or _reason_not_to_ask(draft, fits):
            counts.refused.append(Refused(index, reason))
            continue
        hashes = [response_hash(response.text, response.model_name) for response in draft.responses]
        if len(set(hashes)) < len(hashes):
            counts.refused.append(Refused(index, "two of its responses are the same, from the same model"))
            continue
        accepted.append((index, draft, prompt_hash(draft.messages), hashes))
    if not accepted:
        return []
    with connection.cursor() as cursor:
        prompt_ids, n_prompts = _store_prompts(cursor, project, accepted)
        response_ids, n_responses = _store_responses(cursor, accepted, prompt_ids)
        open_slots = overlap if state == RankingTask.State.OPEN else 0
        shared = {
            "overlap": overlap,
            "open_slots": open_slots,
            "priority": priority,
            "round": round,
            "state": state,
        }
        task_ids, created = _store_tasks(cursor, project, accepted, prompt_ids, response_ids, shared)
    counts.prompts += n_prompts
    counts.responses += n_responses
    counts.tasks += len(created)
    stored = []
    for index, _, p_hash, hashes in accepted:
        task_id = task_ids[_content_key(p_hash, hashes)]
        new = task_id in created
        created.discard(task_id)
        counts.unchanged += not new
        prompt_id = prompt_ids[p_hash]
        ids = tuple(response_ids[prompt_id, r_hash] for r_hash in hashes)
        stored.append(StoredTask(index, task_id, prompt_id, p_hash, ids, new))
    return stored


def add_prompts(
    *, project: Project, prompts: Iterable[tuple[Sequence[Mapping[str, str]], Mapping[str, Any]]]
) -> Counts:
    """Adds prompts without responses, given as (messages, metadata), for a policy to answer later."""
    counts = Counts()
    numbered = enumerate(prompts)
    while batch := list(itertools.islice(numbered, BATCH_DRAFTS)):
        accepted: list[tuple[int, TaskDraft, str, list[str]]] = []
        for index, (messages, metadata) in batch:
            if reason := _reason_to_refuse_prompt(messages):
                counts.refused.append(Refused(index, reason))
            else:
                accepted.append((index, TaskDraft(messages, (), metadata), prompt_hash(messages), []))
        with transaction.atomic(), connection.cursor() as cursor:
            _, created = _store_prompts(cursor, project, accepted)
        counts.prompts += created
        counts.unchanged += len(accepted) - created
    return counts


def analyze_content() -> None:
    """Fresh statistics after a bulk load; autovacuum may be a minute away, and claims come at once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE annotation_prompt, annotation_response, annotation_rankingtask, annotation_taskresponse"
        )


_Accepted = Sequence[tuple[int, TaskDraft, str, list[str]]]


def _store_prompts(cursor: Any, project: Project, accepted: _Accepted) -> tuple[dict[str, UUID], int]:
    drafts = {p_hash: draft for _, draft, p_hash, _ in reversed(accepted)}
    created = insert_rows(
        "annotation_prompt",
        constants={"project_id": project.pk, "created_at": NOW},
        columns={
            "id": ("uuid", [uuid7() for _ in drafts]),
            "content_hash": ("text", list(drafts)),
            "split": ("text", [split_of(p_hash).value for p_hash in drafts]),
            "messages": ("jsonb", [_plain_messages(draft.messages) for draft in drafts.values()]),
            "metadata": ("jsonb", [draft.metadata for draft in drafts.values()]),
        },
    )
    cursor.execute(
        "SELECT content_hash, id FROM annotation_prompt WHERE project_id = %s AND content_hash = ANY(%s)",
        [project.pk, list(drafts)],
    )
    return dict(cursor.fetchall()), len(created)


def _store_responses(
    cursor: Any, accepted: _Accepted, prompt_ids: Mapping[str, UUID]
) -> tuple[dict[tuple[UUID, str], UUID], int]:
    drafts = {
        (prompt_ids[p_hash], r_hash): response
        for _, draft, p_hash, hashes in accepted
        for response, r_hash in zip(draft.responses, hashes, strict=True)
    }
    created = insert_rows(
        "annotation_response",
        constants={"created_at": NOW},
        columns={
            "id": ("uuid", [uuid7() for _ in drafts]),
            "prompt_id": ("uuid", [prompt_id for prompt_id, _ in drafts]),
            "content_hash": ("text", [r_hash for _, r_hash in drafts]),
            "text": ("text", [response.text for response in drafts.values()]),
            "model_name": ("text", [response.model_name for response in drafts.values()]),
            "sampling": ("jsonb", [response.sampling for response in drafts.values()]),
        },
    )
    cursor.execute(
        "SELECT prompt_id, content_hash, id FROM annotation_response WHERE (prompt_id, content_hash) IN "
        "(SELECT * FROM unnest(%s::uuid[], %s::text[]))",
        [[prompt_id for prompt_id, _ in drafts], [r_hash for _, r_hash in drafts]],
    )
    return {(prompt_id, r_hash): id for prompt_id, r_hash, id in cursor.fetchall()}, len(created)


def _store_tasks(
    cursor: Any,
    project: Project,
    accepted: _Accepted,
    prompt_ids: Mapping[str, UUID],
    response_ids: Mapping[tuple[UUID, str], UUID],
    shared: Mapping[str, Any],
) -> tuple[dict[str, UUID], set[UUID]]:
    drafts: dict[str, tuple[UUID, list[UUID], Sequence[Sequence[int]] | None]] = {}
    for _, draft, p_hash, hashes in accepted:
        prompt_id = prompt_ids[p_hash]
        ids = [response_ids[prompt_id, r_hash] for r_hash in hashes]
        drafts.setdefault(_content_key(p_hash, hashes), (prompt_id, ids, draft.gold_tiers))
    created = set(
        insert_rows(
            "annotation_rankingtask",
            constants={"project_id": project.pk, "created_at": NOW, "answered": 0, **shared},
            columns={
                "id": ("uuid", [uuid7() for _ in drafts]),
                "prompt_id": ("uuid", [prompt_id for prompt_id, _, _ in drafts.values()]),
                "content_key": ("text", list(drafts)),
                "gold_tiers": (
                    "jsonb",
                    [
                        None if gold is None else [[ids[i] for i in tier] for tier in gold]
                        for _, ids, gold in drafts.values()
                    ],
                ),
            },
        )
    )
    cursor.execute(
        "SELECT content_key, id FROM annotation_rankingtask WHERE project_id = %s AND content_key = ANY(%s)",
        [project.pk, list(drafts)],
    )
    task_ids: dict[str, UUID] = dict(cursor.fetchall())
    shown = [
        (task_ids[key], response_id, position)
        for key, (_, ids, _) in drafts.items()
        if task_ids[key] in created
        for position, response_id in enumerate(ids)
    ]
    insert_rows(
        "annotation_taskresponse",
        constants={},
        columns={
            "task_id": ("uuid", [task_id for task_id, _, _ in shown]),
            "response_id": ("uuid", [response_id for _, response_id, _ in shown]),
            "position": ("int", [position for _, _, position in shown]),
        },
    )
    return task_ids, created


def _reason_to_refuse(draft: TaskDraft) -> str | None:
    if reason := _reason_to_refuse_prompt(draft.messages):
        return reason
    if not MIN_RESPONSES <= len(draft.responses) <= MAX_RESPONSES:
        return f"it has {len(draft.responses)} responses; a task has {MIN_RESPONSES} to {MAX_RESPONSES}"
    for number, response in enumerate(draft.responses):
        if reason := _reason_to_refuse_text(response.text) or _reason_to_refuse_text(response.model_name):
            return f"response {number}: {reason}"
    if draft.gold_tiers is not None:
        gold = sorted(index for tier in draft.gold_tiers for index in tier)
        if gold != list(range(len(draft.responses))) or not all(draft.gold_tiers):
            return "its gold tiers don't name each response once"
    return None


def _reason_not_to_ask(draft: TaskDraft, fits: Span) -> str | None:
    if fits.takes(len(draft.responses)):
        return None
    return f"it has {len(draft.responses)} responses; the answer form of this project takes {fits}"


def _reason_to_refuse_prompt(messages: Sequence[Mapping[str, str]]) -> str | None:
    if not messages:
        return "its prompt has no messages"
    for number, message in enumerate(messages):
        if set(message) != {"role", "content"} or not isinstance(message["content"], str):
            return f"message {number} isn't a role and a text content"
        if message["role"] not in ROLES:
            return f"message {number} has the role {message['role']!r}; known are {', '.join(sorted(ROLES))}"
        if reason := _reason_to_refuse_text(message["content"]):
            return f"message {number}: {reason}"
    return None


def _reason_to_refuse_text(text: str) -> str | None:
    if len(text) > MAX_TEXT_CHARACTERS:
        return f"{len(text)} characters are more than {MAX_TEXT_CHARACTERS}"
    if "\x00" in text:
        return "it holds a NUL character, which text can't"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it holds half a character (a lone surrogate)"
    return None


def _content_key(p_hash: str, hashes: Sequence[str]) -> str:
    return _sha256([p_hash, *sorted(hashes)])


def _plain_messages(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]


# One encoder for all: json.dumps builds a new one for each call with options.
_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _sha256(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()
