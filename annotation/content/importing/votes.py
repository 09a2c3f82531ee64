"""Imports votes on responses that were imported earlier from another file, and finds these responses in the
project."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from annotation.content.content_rows import Known
from annotation.content.drafts import Prepared, TaskDraft, content_key
from annotation.models import Project
from preferences.records import ResponseKey, Vote


@dataclass(frozen=True, slots=True)
class _Found:
    prompt_id: str
    prompt_hash: str
    response_id: str
    response_hash: str
    model: str
    metadata: dict[str, Any]

    def is_named_by(self, key: ResponseKey) -> bool:
        return self.model == key.model and all(
            self.metadata.get(name) == value for name, value in key.metadata.items()
        )


class VotesLookup:
    """The responses to which a batch of votes refers. Each vote identifies its prompt by a metadata field.
    The responses are read with one query per metadata field."""

    def __init__(self, project: Project, votes: Iterable[Vote]) -> None:
        self.known = Known()
        self._found: dict[tuple[str, str], list[_Found]] = defaultdict(list)
        named: dict[str, set[str]] = defaultdict(set)
        for vote in votes:
            field, value = vote.prompt
            named[field].add(json.dumps(value))
        for field, values in named.items():
            self._read(project, field, sorted(values))

    def _read(self, project: Project, field: str, values: list[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (prompt.metadata -> %s)::text, prompt.id::text, prompt.content_hash,"
                " response.id::text, response.content_hash, response.model_name, response.metadata::text"
                " FROM annotation_prompt prompt JOIN annotation_response response"
                " ON response.prompt_id = prompt.id"
                " WHERE prompt.project_id = %s AND prompt.metadata -> %s = ANY(%s::jsonb[])"
                " ORDER BY response.id",
                [field, project.pk, field, values],
            )
            for value, prompt_id, p_hash, response_id, r_hash, model, metadata in cursor.fetchall():
                self._found[field, value].append(
                    _Found(prompt_id, p_hash, response_id, r_hash, model, json.loads(metadata))
                )

    def prepared(self, vote: Vote) -> Prepared | str:
        """Returns the content of a task with the vote's responses, or the reason why the vote can't be
        imported."""
        field, value = vote.prompt
        candidates = self._found.get((field, json.dumps(value)), [])
        chosen: list[_Found] = []
        for key in vote.responses:
            found = next((one for one in candidates if one.is_named_by(key)), None)
            if found is None:
                return (
                    f"{vote.refers_to}: this project has no response by {key.model!r};"
                    " import the file with the responses first"
                )
            chosen.append(found)
        if len({one.response_id for one in chosen}) < len(chosen):
            return f"{vote.refers_to}: the vote compares a response with itself"
        if len({one.prompt_id for one in chosen}) > 1:
            return f"{vote.refers_to}: the responses belong to different prompts"
        for one in chosen:
            self.known.prompts[one.prompt_hash] = one.prompt_id
            self.known.responses[one.prompt_id, one.response_hash] = one.response_id
        hashes = tuple(one.response_hash for one in chosen)
        p_hash = chosen[0].prompt_hash
        return Prepared(TaskDraft((), ()), p_hash, hashes, content_key(p_hash, hashes))
