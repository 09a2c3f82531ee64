"""Writes content as rows, with one COPY per table and batch instead of a model instance per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.db import connection
from django.utils import timezone

from annotation.content.drafts import Prepared, ResponseDraft, split_of
from annotation.database.bulk import Column, as_json, as_text, copy_rows
from annotation.ids import uuid7_texts
from annotation.models import Project, RankingTask

# IDs are strings here, because a bulk load only compares and writes them.
ResponseIds = dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A draft and the state of its new task. If `state` is None, only the prompt and the responses are
    stored."""

    prepared: Prepared
    state: RankingTask.State | None

    @property
    def is_check(self) -> bool:
        return RankingTask.Kind(self.prepared.draft.kind).is_check


@dataclass(slots=True)
class Known:
    """Maps hashes to the IDs of the existing prompts and responses that this batch refers to."""

    prompts: dict[str, str] = field(default_factory=dict)
    responses: ResponseIds = field(default_factory=dict)


@dataclass(slots=True)
class StoredContent:
    """The stored objects' IDs by hash, and the sets of new IDs."""

    prompts: dict[str, str] = field(default_factory=dict)
    responses: ResponseIds = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    new_prompts: set[str] = field(default_factory=set)
    new_responses: set[str] = field(default_factory=set)
    new_tasks: set[str] = field(default_factory=set)

    def brings(self, wanted: Wanted) -> bool:
        """Whether any part of the draft is new. If a batch contains the same new draft twice, the result is
        True for both copies."""
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
    """Writes the content that doesn't exist yet. The caller must hold `Lock.CONTENT`. Otherwise, another
    transaction could add the same content after the lookup of existing rows and before the COPY of new rows.

    A new prompt has no stored responses, and a new response is in no stored task. A first import therefore
    looks up only prompts.
    """
    now = timezone.now().isoformat()
    stored = StoredContent()
    known = known or Known()
    stored.prompts.update(known.prompts)
    stored.responses.update(known.responses)
    drafts = [item.prepared for item in wanted]
    _prompts(project, drafts, stored, now)
    _responses(drafts, stored, now)
    shared = {"overlap": str(overlap), "priority": str(priority), "round": str(round), "answered": "0"}
    _tasks(project, wanted, stored, overlap, {"project_id": str(project.pk), "created_at": now, **shared})
    return stored


def _prompts(project: Project, drafts: Iterable[Prepared], stored: StoredContent, now: str) -> None:
    # If several rows have the same prompt, the metadata of the first row is stored.
    first: dict[str, Prepared] = {}
    for item in drafts:
        if item.prompt_hash not in stored.prompts:
            first.setdefault(item.prompt_hash, item)
    if not first:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT content_hash, id::text FROM annotation_prompt"
            " WHERE project_id = %s AND content_hash = ANY(%s)",
            [project.pk, list(first)],
        )
        stored.prompts.update(cursor.fetchall())
    new = [item for p_hash, item in first.items() if p_hash not in stored.prompts]
    ids = uuid7_texts(len(new))
    copy_rows(
        "annotation_prompt",
        constants={"project_id": str(project.pk), "created_at": now},
        columns={
            "id": Column(ids),
            "content_hash": Column([item.prompt_hash for item in new]),
            "split": Column([split_of(item.prompt_hash).value for item in new]),
            "messages": Column([_plain_messages(item.draft.messages) for item in new], as_json),
            "metadata": Column([item.draft.metadata for item in new], as_json),
        },
    )
    stored.prompts.update(zip([item.prompt_hash for item in new], ids, strict=True))
    stored.new_prompts.update(ids)


def _responses(drafts: Iterable[Prepared], stored: StoredContent, now: str) -> None:
    first: dict[tuple[str, str], ResponseDraft] = {}
    for item in drafts:
        prompt_id = stored.prompts[item.prompt_hash]
        for response, r_hash in zip(item.draft.responses, item.response_hashes, strict=False):
            if (prompt_id, r_hash) not in stored.responses:
                first.setdefault((prompt_id, r_hash), response)
    old = [key for key in first if key[0] not in stored.new_prompts]
    if old:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT prompt_id::text, content_hash, id::text FROM annotation_response"
                " WHERE (prompt_id, content_hash) IN (SELECT * FROM unnest(%s::uuid[], %s::text[]))",
                [[prompt_id for prompt_id, _ in old], [r_hash for _, r_hash in old]],
            )
            stored.responses.update({(prompt_id, r_hash): id for prompt_id, r_hash, id in cursor.fetchall()})
    new = [(key, response) for key, response in first.items() if key not in stored.responses]
    ids = uuid7_texts(len(new))
    copy_rows(
        "annotation_response",
        constants={"created_at": now},
        columns={
            "id": Column(ids),
            "prompt_id": Column([prompt_id for (prompt_id, _), _ in new]),
            "content_hash": Column([r_hash for (_, r_hash), _ in new]),
            "text": Column([response.text for _, response in new], as_text),
            "model_name": Column([response.model_name for _, response in new], as_text),
            "sampling": Column([response.sampling for _, response in new], as_json),
            "metadata": Column([response.metadata for _, response in new], as_json),
        },
    )
    stored.responses.update(zip([key for key, _ in new], ids, strict=True))
    stored.new_responses.update(ids)


def _tasks(
    project: Project,
    wanted: Iterable[Wanted],
    stored: StoredContent,
    overlap: int,
    shared: Mapping[str, str],
) -> None:
    first: dict[str, tuple[Wanted, str, list[str]]] = {}
    for item in wanted:
        if item.state is None:
            continue
        if same := first.get(item.prepared.content_key):
            # One row of a file can contain a comment on the responses, and another row can contain their
            # order. The order closes the task, regardless of which row comes first.
            if item.state == RankingTask.State.DONE:
                first[item.prepared.content_key] = (replace(same[0], state=item.state), *same[1:])
            continue
        prompt_id = stored.prompts[item.prepared.prompt_hash]
        shown = [stored.responses[prompt_id, r_hash] for r_hash in item.prepared.response_hashes]
        first[item.prepared.content_key] = (item, prompt_id, shown)
    old = [key for key, (_, _, shown) in first.items() if stored.new_responses.isdisjoint(shown)]
    if old:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT content_key, id::text FROM annotation_rankingtask"
                " WHERE project_id = %s AND content_key = ANY(%s)",
                [project.pk, old],
            )
            stored.tasks.update(cursor.fetchall())
    new = {key: made for key, made in first.items() if key not in stored.tasks}
    ids = uuid7_texts(len(new))
    copy_rows(
        "annotation_rankingtask",
        constants=shared,
        columns={
            "id": Column(ids),
            "prompt_id": Column([prompt_id for _, prompt_id, _ in new.values()]),
            "content_key": Column(list(new)),
            "state": Column([item.state for item, _, _ in new.values()]),
            "kind": Column([item.prepared.draft.kind for item, _, _ in new.values()]),
            # A task created in a state other than `open` is imported together with its ranking. A check has
            # no slots, because it can be assigned to every annotator.
            "open_slots": Column(
                [
                    overlap if item.state == RankingTask.State.OPEN and not item.is_check else 0
                    for item, _, _ in new.values()
                ]
            ),
            "gold_tiers": Column(
                [_ids_of(item.prepared.draft.gold_tiers, shown) for item, _, shown in new.values()], as_json
            ),
            "metadata": Column([item.prepared.draft.task_metadata for item, _, _ in new.values()], as_json),
        },
    )
    rows = [
        (task_id, response_id, position)
        for task_id, (_, _, shown) in zip(ids, new.values(), strict=True)
        for position, response_id in enumerate(shown)
    ]
    copy_rows(
        "annotation_taskresponse",
        constants={},
        columns={
            "task_id": Column([task_id for task_id, _, _ in rows]),
            "response_id": Column([response_id for _, response_id, _ in rows]),
            "position": Column([position for _, _, position in rows]),
        },
    )
    stored.tasks.update(zip(new, ids, strict=True))
    stored.new_tasks.update(ids)


def _ids_of(tiers: Sequence[Sequence[int]] | None, ids: Sequence[str]) -> list[list[str]] | None:
    return None if tiers is None else [[ids[index] for index in tier] for tier in tiers]


def _plain_messages(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]
