"""A log line contains only those parts of an exception's message that are literal text of the program."""

from __future__ import annotations

import json
import logging
import os
import pickle
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pydantic
import pytest
from django.db import IntegrityError, connection, transaction

from annotation.models import Project, User
from config.logs.messages import safe_message
from config.logs.tracebacks import render
from config.problems import Problem
from tests.config.logs.conftest import Lines

SECRET = "Where-is-my-parcel-4711"


def error_of(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("the action raised no exception")


def say(error: Exception) -> Callable[[], Any]:
    def action() -> None:
        raise error

    return action


def with_constants(value: str) -> None:
    raise ValueError(f"the prompt {value} has no {value.upper()} for {value!r}.")


class Row(pydantic.BaseModel):
    count: int


class Refusal(Exception):
    def __init__(self, value: str) -> None:
        super().__init__(f"the value {value} was refused")


@pytest.mark.parametrize(
    "action",
    [
        say(ValueError(SECRET)),
        say(RuntimeError(f"{SECRET}\nsecond line {SECRET}")),
        say(KeyError(SECRET)),
        say(Problem(f"The token {SECRET} is unknown.")),
        say(OSError(f"GET https://example.org/?token={SECRET} failed")),
        say(psycopg.OperationalError(f'invalid dsn: "{SECRET}"')),
        say(Refusal(SECRET)),
        say(ExceptionGroup(SECRET, [ValueError(SECRET)])),
        lambda: with_constants(SECRET),
        lambda: int(SECRET),
        lambda: float(SECRET),
        lambda: dict[str, int]()[SECRET],
        lambda: list[str]().remove(SECRET),
        lambda: SECRET.encode().decode("utf-16", errors="strict") + b"",  # type: ignore[operator]
        lambda: json.loads(SECRET),
        lambda: uuid.UUID(SECRET),
        lambda: Decimal(SECRET),
        lambda: Row(count=SECRET),
        lambda: Row.model_validate({"count": {SECRET: 1}}),
        lambda: pa.array([SECRET]).cast(pa.int64()),
        lambda: pickle.loads(SECRET.encode()),
        lambda: compile(SECRET + " = (", "<text>", "eval"),
        lambda: os.environ[SECRET],
        lambda: logging.getLogger().setLevel(SECRET),
    ],
)
def test_value_in_a_message_is_not_logged(action: Callable[[], Any]) -> None:
    text = render(error_of(action))
    assert SECRET not in text
    assert f'File "{__file__}"' in text


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: with_constants(SECRET), "the prompt … has no … for …"),
        (lambda: None.missing, "'NoneType' object has no attribute 'missing'"),  # type: ignore[attr-defined]
        (lambda: int("one"), "invalid literal for int() with base 10: …"),
        (lambda: 1 / 0, "division by zero"),
        (lambda: uuid.UUID("x"), "badly formed hexadecimal UUID string"),
        (lambda: Path("/nowhere/file").read_text(), "[Errno 2] No such file or directory: /nowhere/file"),
        (say(Refusal("5")), "the value … was refused"),
        (say(ValueError()), ""),
    ],
)
def test_literal_text_of_the_program_is_logged(action: Callable[[], Any], message: str) -> None:
    assert safe_message(error_of(action)) == message


def test_chained_exceptions_are_logged_without_their_values() -> None:
    def chained() -> None:
        try:
            try:
                raise KeyError(SECRET)
            except KeyError:
                raise ValueError(SECRET)  # noqa: B904
        except ValueError as error:
            raise RuntimeError("the outermost") from error

    text = render(error_of(chained))
    assert SECRET not in text
    assert text.index("KeyError") < text.index("ValueError") < text.index("RuntimeError: the outermost")
    assert "During handling of the above exception" in text
    assert "was the direct cause" in text


def test_logged_traceback_of_endless_recursion_has_a_limited_length() -> None:
    def endless() -> None:
        endless()

    text = render(error_of(endless))
    assert len(text) < 16_000
    assert "RecursionError: maximum recursion depth exceeded" in text


def test_exception_in_a_message_is_logged_without_its_value(lines: Lines) -> None:
    error = error_of(say(ValueError(SECRET)))
    # Django logs errors of on_commit callbacks in this way.
    logger = logging.getLogger("django.db.backends.base")
    logger.error("Error calling %s (%s).", "function", error)
    logger.error(f"Error calling: {error!r}", exc_info=error)
    assert [line["message"] for line in lines.of()] == [
        "Error calling function (ValueError: …).",
        "Error calling: ValueError('…')",
    ]
    assert SECRET not in lines.text


def test_row_of_a_database_error_is_not_logged(project: Project, lines: Lines) -> None:
    error = error_of(lambda: User.objects.create(username="alice", email=SECRET))
    assert isinstance(error, IntegrityError)
    assert "DETAIL" in str(error)
    logging.getLogger("annotation").error("It failed.", exc_info=error)
    (line,) = lines.of(message="It failed.")
    assert "DETAIL" not in line["exception"]
    assert "[23505] duplicate key value violates unique constraint" in line["exception"]
    assert "annotation_user_username" in line["exception"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT CAST('{SECRET}' AS integer)",
        f"SELECT CAST('a\"b{SECRET}' AS integer)",
        f"SELECT '{SECRET}' FROM nowhere",
        f"SELECT ({SECRET}",
        f"DO $$ BEGIN RAISE EXCEPTION 'refused: \"%\"', '{SECRET}'; END $$",
    ],
)
def test_value_in_the_first_line_of_a_database_error_is_not_logged(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        error = error_of(lambda: cursor.execute(sql))
        transaction.set_rollback(True)
    text = render(error)
    assert SECRET not in text
    assert "psycopg.errors" in text
