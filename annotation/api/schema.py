"""Adds to the schema what drf-spectacular can't detect: the parameters that `annotation.api.parameters`
parses, and the problem details with which any operation can respond."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_parameter_type
from drf_spectacular.utils import OpenApiParameter

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "description": "A short machine-readable name for the kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "A human-readable explanation of the problem and its remedy.",
        },
        "request_id": {
            "type": "string",
            "description": "The ID of the request, as in the response header X-Request-ID and in the server's"
            " log. It is missing only if the error comes from background work that no request started.",
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "Dotted path of the field; empty for the body as a whole.",
                    },
                    "reason": {"type": "string"},
                },
            },
        },
    },
}


class Schema(AutoSchema):
    """Describes the fields that `parses` and the paginator declare."""

    def get_override_parameters(self) -> list[Any]:
        declared = list(super().get_override_parameters())
        taken = getattr(getattr(self.view, self.method.lower()), "taken", None)
        if taken is None:
            return declared
        headers = [self._header(name, field) for name, field in taken.headers.items()]
        return [*declared, *([taken.query] if taken.query else []), *headers]

    def _header(self, name: str, field: Any) -> OpenApiParameter:
        schema, description = self._described(field)
        return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description)

    def _get_pagination_parameters(self) -> list[Any]:
        if not self._is_list_view() or not (paginator := self._get_paginator()):  # type: ignore[no-untyped-call]
            return []
        return [self._in_query(name, field) for name, field in paginator.query().fields.items()]

    def _in_query(self, name: str, field: Any) -> Any:
        schema, description = self._described(field)
        return build_parameter_type(name, schema, OpenApiParameter.QUERY, description=description)

    def _described(self, field: Any) -> tuple[dict[str, Any], str]:
        schema = self._map_serializer_field(field, "request")  # type: ignore[no-untyped-call]
        self._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]
        return schema, schema.pop("description", "")


def add_problems(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A drf-spectacular postprocessing hook that adds problem details as the default response of each
    operation."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    body = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"]["default"] = {"description": "A refusal.", "content": body}
    return result
