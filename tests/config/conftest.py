"""The test users, in a project with one row of every kind."""

from __future__ import annotations

import gzip
import re
from uuid import UUID

import pytest

from annotation.accounts.invitations import invite
from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line
from annotation.datasets.snapshots import freeze_snapshot
from annotation.desk.submission import submit_ranking
from annotation.desk.task_problems import report_problem
from annotation.models import Import, Project, RankingTask, User
from annotation.oversight.exclusion import Who, exclude_annotator
from annotation.webhooks.endpoints import create_endpoint
from tests.annotation.answering import claim, strict_order
from training.models import Gate, Loop, ModelVersion, Round, RoundStep, TrainingRun
from training.runs.candidates import CANDIDATES, finished_file, keep_candidates

OWNER = "alice"  # owns the rows that belong to a single user

Ids = dict[str, str | UUID]


@pytest.fixture
def people(project: Project, ada: User, oscar: User) -> dict[str, User]:
    return {user.username: user for user in User.objects.all()}


@pytest.fixture
def rows(people: dict[str, User], project: Project, tasks: list[RankingTask]) -> Ids:
    """Maps each word in a URL to the value of the parameter that follows it."""
    run = TrainingRun.objects.create(
        project=project, kind="sft", recipe={}, inputs={}, state="cancelled", finished_at=project.created_at
    )
    run.folder.mkdir(parents=True)
    (run.folder / CANDIDATES).write_bytes(gzip.compress(b""))
    run.result = {"candidates": keep_candidates(run, finished_file(run.folder / CANDIDATES))}
    run.save(update_fields=["result"])
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
    problem, _ = report_problem(assignment=given, kind="unsafe")
    excluded = exclude_annotator(project=project, who=Who(annotator=people["oscar"]), reason="a stranger")
    webhook, _ = create_endpoint(project=project, url="https://example.org/hook", events=["snapshot.frozen"])
    snapshot = freeze_snapshot(project=project, name="first", created_by=people["mona"])
    imported = Import.objects.create(
        project=project,
        created_by=people["mona"],
        file_name="rows.jsonl",
        size=100,
        options={"votes": "close"},
    )
    round = cancelled_round(project, model)
    return {
        "projects": "support",
        "members": OWNER,
        "tasks": tasks[-1].pk,
        "tokens": create_token(user=people[OWNER], name="script")[0].pk,
        "oidc": "company",
        "assignments": claim(project, people[OWNER]).pk,
        "snapshots": snapshot.pk,
        "problems": problem.pk,
        "reviews": given.task_id,
        "webhooks": webhook.pk,
        "webhook-deliveries": webhook.deliveries.get().message_id,
        "exclusions": excluded.pk,
        "invitations": invite(project=project, role="annotator", by=people["mona"])[0].pk,
        "imports": imported.pk,
        "runs": run.pk,
        "models": model.pk,
        "rounds": round.pk,
        "gates": Gate.objects.get(step__round=round).pk,
    }


def cancelled_round(project: Project, model: ModelVersion) -> Round:
    """A cancelled round of the project's loop, with a step whose gate the model has passed."""
    loop, _ = Loop.objects.get_or_create(project=project)
    ended = {"state": "cancelled", "reason": "Cancelled.", "finished_at": project.created_at}
    round = Round.objects.create(
        loop=loop,
        number=loop.rounds.count() + 1,
        trigger="manual",
        new_comparisons=1,
        settings={},
        starting_policy=model,
        **ended,
    )
    step = RoundStep.objects.create(round=round, position=1, kind="policy_gate", subject="ppo", **ended)
    Gate.objects.create(model=model, step=step, state="passed", decided_at=project.created_at)
    return round


def parameters_of(route: str, rows: Ids) -> dict[str, str]:
    """The values of the route's parameters, by name."""
    found = re.findall(r"([\w-]+)/<\w+:(\w+)>", route)
    missing = [word for word, _ in found if word not in rows]
    assert not missing, f"{route} needs a row for {missing[0]}: add it to `rows`"
    return {name: str(rows[word]) for word, name in found}


def url_of(line: Line, rows: Ids) -> str:
    parameters = parameters_of(line.route, rows)
    return "/" + re.sub(r"<\w+:(\w+)>", lambda bracket: parameters[bracket[1]], line.route)
