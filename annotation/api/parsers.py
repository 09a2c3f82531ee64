from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from config.problems import FieldProblem, Problem
from preferences.text import NUL, storage_fault

# No valid request body is nested this deeply. JSON libraries fail at about a hundred times this depth.
MAX_DEPTH = 20


class TextJSONParser(JSONParser):
    """A JSON parser that refuses strings that can't be stored or sent back.

    JSON can contain a NUL or a lone surrogate. Postgres refuses a NUL, and a lone surrogate has no UTF-8
    encoding. Without the check, such a string would cause a server error later.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        raw: bytes = stream.read()
        try:
            text = raw.decode("utf-8")
            data = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8: byte {error.start} is invalid.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        # Traversing a whole body takes longer than parsing it, so a body is checked only if it can contain a
        # forbidden character or be nested too deeply.
        if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
            _refuse_unstorable(data)
        return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _refuse_unstorable(body: object) -> None:
    """Refuses a NUL or a lone surrogate in any string, and a body that is nested too deeply. A JSON body can
    contain a NUL or a lone surrogate only as an escape, because the decoder refuses unescaped control
    characters, and UTF-8 can't encode a surrogate."""
    level: list[tuple[str, object]] = [("", body)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[str, object]] = []
        for path, value in level:
            if isinstance(value, str):
                _refuse_text(path, value)
            elif isinstance(value, list):
                below += [(f"{path}.{index}".lstrip("."), item) for index, item in enumerate(value)]
            elif isinstance(value, dict):
                for key, item in value.items():
                    inner = f"{path}.{key}".lstrip(".")
                    _refuse_text(inner, key)
                    below.append((inner, item))
        level = below
    if level:
        raise ParseError(f"The body is nested too deeply: more than {MAX_DEPTH} levels.")


def _refuse_text(path: str, text: str) -> None:
    fault = storage_fault(text)
    if fault is None:
        return
    reason = f"It {fault}."
    # The response includes the path, which is escaped because it can contain a forbidden character too.
    field = path.replace(NUL, "\\u0000").encode(errors="backslashreplace").decode()
    raise Problem(
        f"The body can't be stored. {field}: {reason}",
        errors=[FieldProblem(field, reason)],
        status=HTTPStatus.BAD_REQUEST,
        type="unstorable-text",
    )
