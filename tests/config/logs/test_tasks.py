"""Every log line of a task names the task, the request that caused the task, and the task's run or import."""

from __future__ import annotations

import uuid

import pytest

from annotation.tasks import execute_import, expire_leases
from config.logs.context import current_fields, current_request_id, log_fields
from tests.config.logs.conftest import Lines

pytestmark = pytest.mark.django_db


def test_failed_task_is_logged_with_its_traceback(lines: Lines) -> None:
    execute_import.apply(args=["not-an-id"])
    (line,) = lines.of(logger="celery.app.trace", level="ERROR")
    assert line["task"] == "annotation.tasks.execute_import"
    assert line["exception"].endswith("ValueError: badly formed hexadecimal UUID string")
    assert "not-an-id" not in lines.text


def test_task_is_logged_once_with_the_ids_in_its_arguments(lines: Lines) -> None:
    import_id = str(uuid.uuid4())
    execute_import.apply(args=[import_id])
    (line,) = lines.of(logger="rankloop.tasks")
    assert (line["state"], line["level"], line["import_id"]) == ("SUCCESS", "INFO", import_id)
    assert line["duration_ms"] >= 0


def test_fast_periodic_task_is_not_logged(lines: Lines) -> None:
    expire_leases.apply()
    assert lines.of(logger="rankloop.tasks") == []


def test_log_fields_of_a_task_are_removed_when_the_task_ends() -> None:
    with log_fields(request_id="outer-request"):
        execute_import.apply(args=[str(uuid.uuid4())])
        assert current_fields() == {"request_id": "outer-request"}
    assert current_request_id() == ""
