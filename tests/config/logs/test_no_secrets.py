"""No prompt, answer, password, token, cookie or secret reaches a log, whether a request succeeds or fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.models import Import, Project, RankingTask, User
from annotation.webhooks.delivery import deliver_due
from tests.annotation.answering import next_of, send
from tests.annotation.content.imports.jobs import executed, upload
from tests.annotation.webhooks.receiver import LOOPBACK, receiving
from tests.config.logs.conftest import Lines

PASSWORD = "password-of-alice-7781"
PROMPT = "prompt-of-a-customer-7782"
ANSWER = "answer-of-a-model-7783"
COMMENT = "comment-of-alice-7784"
QUERY = "token-in-a-query-7785"
WRONG = "wrong-password-7786"
SECRETS = [PASSWORD, PROMPT, ANSWER, COMMENT, QUERY, WRONG]

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def all_lines(lines: Lines) -> Iterator[Lines]:
    """Collects the log lines of all levels."""
    loggers = [logging.getLogger(name) for name in ("annotation", "training", "config", "rankloop", "django")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield lines
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def logged_in(user: User, client: APIClient) -> None:
    user.set_password(PASSWORD)
    user.save()
    for password in (WRONG, PASSWORD):
        client.post("/api/v1/auth/login", {"username": user.username, "password": password})
    assert client.get("/api/v1/auth/me").status_code == 200


def rows(*prompts: str) -> bytes:
    return "\n".join(
        json.dumps({"prompt": prompt, "responses": [f"{ANSWER} {n}" for n in range(2)]}) for prompt in prompts
    ).encode()


def test_importing_and_claiming_and_submitting_do_not_log_content(
    all_lines: Lines, project: Project, alice: User, mona: User
) -> None:
    manager, annotator = APIClient(), APIClient()
    logged_in(mona, manager)
    logged_in(alice, annotator)
    broken = b"\n" + json.dumps({"prompt": PROMPT, "responses": ANSWER}).encode() + b'\n{"prompt": "' + b"\n"
    found = executed(manager, upload(manager, rows(PROMPT, f"{PROMPT} 2") + broken, f"{PROMPT}.jsonl"))
    assert found["state"] == "succeeded"
    assert found["report"]["failed"] > 0
    assignment = next_of(annotator)
    assert ANSWER in assignment["responses"][0]["text"]
    assert send(annotator, assignment, tiers=[[COMMENT]]).status_code == 422
    assert send(annotator, assignment, comment=COMMENT).status_code == 201
    wanted = {"name": COMMENT, "scopes": ["read"], "password": PASSWORD}
    token = manager.post("/api/v1/account/tokens/", wanted).json()["token"]
    for authorization in (token, QUERY):
        bearer = {"Authorization": f"Bearer {authorization}"}
        APIClient().get(f"/api/v1/projects/?token={QUERY}", headers=bearer)
    cookies = [client.cookies[name].value for client in (manager, annotator) for name in client.cookies]
    for secret in (*SECRETS, token, assignment["token"], *cookies):
        assert secret not in all_lines.text


@pytest.mark.django_db
def test_webhooks_log_neither_addresses_nor_keys(
    all_lines: Lines, project: Project, tasks: list[RankingTask], alice: User, mona: User, settings: Settings
) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    manager, annotator = APIClient(), APIClient()
    logged_in(mona, manager)
    logged_in(alice, annotator)
    with receiving() as receiver:
        receiver.answers = [500, 0.01, 410]
        url = f"{receiver.url}?token={QUERY}"
        body = {"url": url, "events": ["ranking.submitted"]}
        made: dict[str, Any] = manager.post("/api/v1/projects/support/webhooks/", body).json()
        for _ in range(3):
            assert send(annotator, next_of(annotator), comment=COMMENT).status_code == 201
        assert deliver_due() == 3
    (line,) = all_lines.of(logger="annotation.webhooks.delivery")
    assert "was disabled" in line["message"]
    for secret in (*SECRETS, made["secret"], made["secret"].removeprefix("whsec_")):
        assert secret not in all_lines.text


def test_import_that_fails_unexpectedly_logs_its_traceback_without_content(
    all_lines: Lines, project: Project, mona: User
) -> None:
    manager = APIClient()
    manager.force_login(mona)
    response = upload(manager, rows(PROMPT))
    Import.objects.update(options={"votes": PROMPT})  # raises a ValueError that contains the value
    assert executed(manager, response)["state"] == "failed"
    (line,) = all_lines.of(logger="annotation.content.import_jobs.execute", level="ERROR")
    assert "ValueError" in line["exception"]
    assert PROMPT not in all_lines.text
