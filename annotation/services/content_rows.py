"""Content as rows: one statement per table and batch, without a model instance for each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from annotation.ids import uuid7
from annotation.models import Project, RankingTask
from annotation.services.bulk import NOW, insert_rows
from annotation.services.drafts import Prepared, ResponseDraft, split_of

ResponseIds = dict[tuple[UUID, str], UUID]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A draft and the state its task shall be made in; None: its prompt and responses only, no task."""

    prepared: Prepared
    state: RankingTask.State | None


@dataclass(slots=True)
class Known:
    """Rows that another file brought and this batch names: {hash: id} of prompts and of their responses."""

    prompts: dict[str, UUID] = field(default_factory=dict)
    responses: ResponseIds = field(default_factory=dict)


@dataclass(slots=True)
class StoredContent:
    """Ids by hash, and which of them are new."""

    prompts: dict[str, UUID]
    responses: ResponseIds
    tasks: dict[str, UUID]
    new_prompts: set[UUID]
    new_responses: set[UUID]
    new_tasks: set[UUID]

    def brings(self, wanted: Wanted) -> bool:
        """Whether something of the draft is new. Of two equal drafts in a batch both are."""
        prepared = wanted.prepared
        if wanted.state is not None:
            return self.tasks[prepared.content_key] in self.new_tasks
        prompt_id = self.prompts[prepared.prompt_hash]
        return prompt_id in self.new_prompts or any(
            self.responses[prompt_id, r_hash] in self.new_responses for r_hash in prepared.response_hashes
        )


def insert_content(
    *,
    project: Project,
    wanted: Sequence[Wanted],
    overlap: int,
    round: int = 0,
    priority: int = 0,
    known: Known | None = None,
) -> StoredContent:
    """Writes what is not there yet. Hold lock_content: two batches with the same content in unlike order
    would wait for each other."""
    known = known or Known()
    drafts = [item.prepared for item in wanted]
    with connection.cursor() as cursor:
        prompts, new_prompts = _prompts(cursor, project, drafts, known.prompts)
        responses, new_responses = _responses(cursor, drafts, prompts, new_prompts, known.responses)
        shared = {"overlap": overlap, "priority": priority, "round": round}
        tasks, new_tasks = _tasks(cursor, project, wanted, prompts, responses, new_prompts, shared)
    return StoredContent(prompts, responses, tasks, new_prompts, new_responses, new_tasks)


def _prompts(
    cursor: Any, project: Project, drafts: Iterable[Prepared], known: Mapping[str, UUID]
) -> tuple[dict[str, UUID], set[UUID]]:
    # The first row of a prompt gives its metadata.
    first: dict[str, Prepared] = {}
    for item in drafts:
        if item.prompt_hash not in known:
            first.setdefault(item.prompt_hash, item)
    ids = {p_hash: uuid7() for p_hash in first}
    created = insert_rows(
        "annotation_prompt",
        constants={"project_id": project.pk, "created_at": NOW},
        columns={
            "id": ("uuid", list(ids.values())),
            "content_hash": ("text", list(first)),
            "split": ("text", [split_of(p_hash).value for p_hash in first]),
            "messages": ("jsonb", [_plain_messages(item.draft.messages) for item in first.values()]),
            "metadata": ("jsonb", [item.draft.metadata for item in first.values()]),
        },
    )
    if len(created) < len(first):
        cursor.execute(
            "SELECT content_hash, id FROM annotation_prompt WHERE project_id = %s AND content_hash = ANY(%s)",
            [project.pk, list(first)],
        )
        ids = dict(cursor.fetchall())
    return {**known, **ids}, set(created)


def _responses(
    cursor: Any,
    drafts: Iterable[Prepared],
    prompts: Mapping[str, UUID],
    new_prompts: set[UUID],
    known: ResponseIds,
) -> tuple[ResponseIds, set[UUID]]:
    first: dict[tuple[UUID, str], ResponseDraft] = {}
    for item in drafts:
        prompt_id = prompts[item.prompt_hash]
        for response, r_hash in zip(item.draft.responses, item.response_hashes, strict=False):
            if (prompt_id, r_hash) not in known:
                first.setdefault((prompt_id, r_hash), response)
    ids = {key: uuid7() for key in first}
    created = insert_rows(
        "annotation_response",
        constants={"created_at": NOW},
        columns={
            "id": ("uuid", list(ids.values())),
            "prompt_id": ("uuid", [prompt_id for prompt_id, _ in first]),
            "content_hash": ("text", [r_hash for _, r_hash in first]),
            "text": ("text", [response.text for response in first.values()]),
            "model_name": ("text", [response.model_name for response in first.values()]),
            "sampling": ("jsonb", [response.sampling for response in first.values()]),
            "metadata": ("jsonb", [response.metadata for response in first.values()]),
        },
    )
    if len(created) < len(first):
        cursor.execute(
            "SELECT prompt_id, content_hash, id FROM annotation_response"
            " WHERE (prompt_id, content_hash) IN (SELECT * FROM unnest(%s::uuid[], %s::text[]))",
            [[prompt_id for prompt_id, _ in first], [r_hash for _, r_hash in first]],
        )
        ids = {(prompt_id, r_hash): id for prompt_id, r_hash, id in cursor.fetchall()}
    return {**known, **ids}, set(created)


def _tasks(
    cursor: Any,
    project: Project,
    wanted: Iterable[Wanted],
    prompts: Mapping[str, UUID],
    responses: ResponseIds,
    new_prompts: set[UUID],
    shared: Mapping[str, Any],
) -> tuple[dict[str, UUID], set[UUID]]:
    first: dict[str, tuple[Wanted, UUID, list[UUID]]] = {}
    for item in wanted:
        if item.state is None or item.prepared.content_key in first:
            continue
        prompt_id = prompts[item.prepared.prompt_hash]
        shown = [responses[prompt_id, r_hash] for r_hash in item.prepared.response_hashes]
        first[item.prepared.content_key] = (item, prompt_id, shown)
    ids = {key: uuid7() for key in first}
    created = insert_rows(
        "annotation_rankingtask",
        constants={"project_id": project.pk, "created_at": NOW, "answered": 0, **shared},
        columns={
            "id": ("uuid", list(ids.values())),
            "prompt_id": ("uuid", [prompt_id for _, prompt_id, _ in first.values()]),
            "content_key": ("text", list(first)),
            "state": ("text", [item.state for item, _, _ in first.values()]),
            # A task made in a state other than `open` is a record of something already ranked.
            "open_slots": (
                "int",
                [
                    shared["overlap"] if item.state == RankingTask.State.OPEN else 0
                    for item, _, _ in first.values()
                ],
            ),
            "gold_tiers": (
                "jsonb",
                [_ids_of(item.prepared.draft.gold_tiers, shown) for item, _, shown in first.values()],
            ),
            "metadata": ("jsonb", [item.prepared.draft.task_metadata for item, _, _ in first.values()]),
        },
    )
    if len(created) < len(first):
        cursor.execute(
            "SELECT content_key, id FROM annotation_rankingtask"
            " WHERE project_id = %s AND content_key = ANY(%s)",
            [project.pk, list(first)],
        )
        ids = dict(cursor.fetchall())
    new = set(created)
    rows = [
        (ids[key], response_id, position)
        for key, (_, _, shown) in first.items()
        if ids[key] in new
        for position, response_id in enumerate(shown)
    ]
    insert_rows(
        "annotation_taskresponse",
        constants={},
        columns={
            "task_id": ("uuid", [task_id for task_id, _, _ in rows]),
            "response_id": ("uuid", [response_id for _, response_id, _ in rows]),
            "position": ("int", [position for _, _, position in rows]),
        },
        skip_existing=False,
        returning=False,
    )
    return ids, new


def _ids_of(tiers: Sequence[Sequence[int]] | None, ids: Sequence[UUID]) -> list[list[UUID]] | None:
    return None if tiers is None else [[ids[index] for index in tier] for tier in tiers]


def _plain_messages(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]
