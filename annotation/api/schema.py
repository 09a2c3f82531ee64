"""Adds to the schema what drf-spectacular can't detect: any operation can respond with problem details."""

from __future__ import annotations

from typing import Any

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
            "description": "A human-readable explanation of the problem and what to do.",
        },
        "request_id": {
            "type": "string",
            "description": "The ID of the request, as in the response header X-Request-ID and in the server's"
            " log. Missing only from stored errors of background work that no request started.",
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


def add_problems(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A drf-spectacular postprocessing hook."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    body = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"]["default"] = {"description": "A refusal.", "content": body}
    return result
