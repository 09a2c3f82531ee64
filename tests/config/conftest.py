"""The cast in a project in which every kind of row exists once."""

from __future__ import annotations

from uuid import UUID

import pytest

from annotation.api.access import Line
from annotation.models import Project, RankingTask, User
from annotation.services.exclusion import Who, exclude_annotator
from annotation.services.snapshots import freeze_snapshot
from annotation.services.submission import submit_ranking
from annotation.services.tokens import create_token
from annotation.services.webhooks import create_endpoint
from tests.annotation.answering import claim, strict_order
from training.models import ModelVersion, TrainingRun

OWNER = "alice"  # of the rows that one person has

Ids = dict[str, dict[str, str | UUID]]


@pytest.fixture
def people(project: Project, ada: User, oscar: User) -> dict[str, User]:
    return {user.username: user for user in User.objects.all()}


@pytest.fixture
def rows(people: dict[str, User], project: Project, tasks: list[RankingTask]) -> Ids:
    """For each first word of an address, what stands in its angle brackets."""
    run = TrainingRun.objects.create(
        project=project, kind="sft", recipe={}, inputs={}, state="cancelled", finished_at=project.created_at
    )
    model = ModelVersion.objects.create(
        project=project,
        name="support-sft-1",
        kind="policy",
        base_model="demo-world",
        path="models/support-sft-1",
    )
    given = claim(project, people["rita"])
    submit_ranking(
        assignment=given, token=given.token, answer=strict_order(given.shown_order), idempotency_key="1"
    )
    excluded = exclude_annotator(project=project, who=Who(annotator=people["oscar"]), reason="a stranger")
    webhook, _ = create_endpoint(project=project, url="https://example.org/hook", events=["snapshot.frozen"])
    snapshot = freeze_snapshot(project=project, name="first", created_by=people["mona"])
    return {
        "projects": {"slug": "support"},
        "account": {"id": create_token(user=people[OWNER], name="script")[0].pk},
        "auth": {"provider": "company"},
        "assignments": {"id": claim(project, people[OWNER]).pk},
        "snapshots": {"id": snapshot.pk},
        "reviews": {"id": given.task_id},
        "webhooks": {"id": webhook.pk},
        "webhook-deliveries": {"id": webhook.deliveries.get().message_id},
        "exclusions": {"id": excluded.pk},
        "runs": {"run_id": run.pk},
        "models": {"model_id": model.pk},
    }


def url_of(line: Line, rows: Ids) -> str:
    url = "/" + line.route
    first = line.route.removeprefix("api/v1/").split("/")[0]
    for name, value in rows.get(first, {}).items():
        for converter in ("slug", "uuid"):
            url = url.replace(f"<{converter}:{name}>", str(value))
    assert "<" not in url, f"{line.route} needs an example row: add it to `rows`"
    return url
