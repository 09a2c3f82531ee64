"""The front end's client is generated from the OpenAPI schema, so the schema must be complete."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator

from tests.config.schema.api_schema import api_schema


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    schema = api_schema()
    return {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_has_a_unique_name(operations: dict[str, dict[str, Any]]) -> None:
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("v1") or name[-1].isdigit()]


def test_every_response_is_typed_and_every_error_is_a_problem_response(
    operations: dict[str, dict[str, Any]],
) -> None:
    assert len(operations) >= 20
    for name, operation in operations.items():
        responses = dict(operation["responses"])
        refusal = responses.pop("default")["content"]
        assert list(refusal) == ["application/problem+json"], name
        for status, response in responses.items():
            bodies = [content.get("schema") for content in response.get("content", {}).values()]
            assert status in ("204", "302") or bodies, (name, status)
            assert {} not in bodies, (name, status)


def test_schema_generator_reports_no_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    reset_generator_stats()  # type: ignore[no-untyped-call]
    SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    assert not GENERATOR_STATS, capsys.readouterr().err
