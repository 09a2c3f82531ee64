from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class TextJSONParser(JSONParser):
    """JSON whose every string can be stored and sent back.

    JSON can spell a NUL (which Postgres refuses) and half a character (which has no UTF-8): without this,
    both are a server error somewhere further down.
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
            raise ParseError(f"The body is not UTF-8: byte {error.start} doesn't fit.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        if "\\u" in text:
            _refuse_unstorable(data)
        return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def _refuse_unstorable(data: object) -> None:
    """Unescaped, neither can be there: the decoder refuses control characters, UTF-8 has no surrogates."""
    try:
        whole = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ParseError("The body holds half a character (a lone surrogate, \\ud800 to \\udfff).") from None
    if b"\\u0000" in whole.replace(b"\\\\", b""):
        raise ParseError("The body holds a NUL character (\\u0000), which text can't.")
