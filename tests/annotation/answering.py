"""Helpers that claim and answer tasks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.response import Response
from rest_framework.test import APIClient

from annotation.desk import allocation
from annotation.desk.answers import Answer
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Project, User


def claim_next(*, project: Project, annotator: User) -> Assignment | None:
    return next(iter(allocation.claim_tasks(project=project, annotator=annotator)), None)


def claim(project: Project, annotator: User) -> Assignment:
    assignment = claim_next(project=project, annotator=annotator)
    assert assignment is not None
    return assignment


def rank_next(
    project: Project, person: User, *tiers: list[int], duration_ms: int = 1000, **answer: Any
) -> Assignment:
    """Claims the next task and ranks its responses. In `tiers`, n stands for the response of model-n."""
    assignment = claim(project, person)
    by_model = dict(assignment.task.responses.values_list("model_name", "pk"))
    given = Answer(
        tiers=[[by_model[f"model-{n}"] for n in tier] for tier in tiers],
        **({"touched": True, "duration_ms": duration_ms} | answer),
    )
    submit_ranking(assignment=assignment, token=assignment.token, answer=given)
    return assignment


def strict_order(shown: list[UUID]) -> Answer:
    """An answer with one tier per response, in display order."""
    return Answer(tiers=[[response] for response in shown], touched=True, duration_ms=12_000)


def next_of(client: APIClient, slug: str = "support") -> dict[str, Any]:
    response = client.post(f"/api/v1/projects/{slug}/assignments/next")
    assert response.status_code == 200, response.content
    return dict(response.json())


def send(
    client: APIClient, assignment: dict[str, Any], action: str = "submit", *, key: str = "", **changes: Any
) -> Response:
    """Sends the display order as a strict ranking. `changes` adds or replaces fields of the request body."""
    body = {
        "token": assignment["token"],
        "tiers": [[response["id"]] for response in assignment["responses"]],
        "touched": True,
        "duration_ms": 12_000,
    }
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(f"/api/v1/assignments/{assignment['id']}/{action}", body | changes, headers=headers)


def wrong_fields(response: Response) -> list[str]:
    assert response["Content-Type"] == "application/problem+json"
    return [error["field"] for error in response.json()["errors"]]
