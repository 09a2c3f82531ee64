"""Query parameters and request headers: declared once, and parsed only here.

A view declares its parameters as the fields of a serializer, and its headers as fields by name:

    @parses(serializers.MetricsQuery, headers={"Last-Event-ID": WholeNumber(required=False)})
    @extend_schema(…)
    def get(self, request: Request, id: UUID, asked: Asked) -> Response: …

`asked` contains the parsed values. A request with an invalid value is refused with status 422, and the
problem names the parameter. `annotation.api.schema` describes the same fields in the OpenAPI schema, so the
schema always matches the parser.

The rules for all endpoints:

- An empty value means that the parameter was not given.
- A parameter can be given only once. Otherwise, a proxy and this server could read different values.
- Unknown parameters are ignored, because other programs often add their own parameters to links. An
  endpoint that must not ignore a misspelt parameter sets `refuses_unknown`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from preferences.text import MAX_NAME_CHARACTERS

BIGINT = 2**63 - 1
"""The largest number that a column of the type `bigint` can store."""

# A dictionary of parsed values. It is passed to services that take a TypedDict.
Asked = Any
Field = serializers.Field[Any, Any, Any, Any]
View = TypeVar("View", bound=Callable[..., Any])

_REPEATED = "This parameter occurs {count} times. Send it only once."


class Query(serializers.Serializer[Any]):
    """Base class of an endpoint's query parameters."""

    refuses_unknown = False


class WholeNumber(serializers.IntegerField):
    """A number from `min_value` to `max_value`, written with the digits 0 to 9 only.

    Python's `int` also accepts `1_000`, spaces and the digits of other scripts. For numbers with more than
    4,300 digits, Python's error names that limit instead of the allowed range.
    """

    _DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)

    def __init__(self, *, min_value: int = 0, max_value: int = BIGINT, **options: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **options)

    def to_internal_value(self, data: Any) -> int:
        if not self._DIGITS.fullmatch(str(data)):
            raise ValidationError(f"This must be a whole number from {self.min_value} to {self.max_value}.")
        return int(data)


class Number(serializers.FloatField):
    """A finite number. A comparison with NaN is always false, so NaN would pass any range check."""

    def to_internal_value(self, data: Any) -> float:
        value: float = super().to_internal_value(data)
        if not math.isfinite(value):
            raise ValidationError("This must be a finite number.")
        return value


def name_field(help_text: str) -> serializers.CharField:
    """An optional name, such as a project's slug."""
    return serializers.CharField(max_length=MAX_NAME_CHARACTERS, required=False, help_text=help_text)


@dataclass(frozen=True, slots=True)
class Taken:
    """The parts of a request that a view's method reads in addition to the path and the body."""

    query: type[Query] | None
    headers: Mapping[str, Field]


def parses(
    query: type[Query] | None = None, *, headers: Mapping[str, Field] | None = None
) -> Callable[[View], View]:
    """Parses the request before the view's method is called, and passes the values as `asked`. The name of a
    header in `asked` is in snake case: `last_event_id`."""
    taken = Taken(query, headers or {})

    def wrap(method: View) -> View:
        @functools.wraps(method)
        def parsed(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
            return method(self, request, *args, asked=parse(request, taken), **kwargs)

        parsed.taken = taken  # type: ignore[attr-defined]
        return parsed  # type: ignore[return-value]

    return wrap


def parse(request: Request, taken: Taken) -> dict[str, Any]:
    """The values of the declared parameters. Raises ValidationError with a reason for each invalid value."""
    values, errors = _parsed_query(request, taken.query) if taken.query else ({}, {})
    for name, field in taken.headers.items():
        try:
            found = _value_of(field, request.headers.get(name, ""))
        except ValidationError as error:
            errors[name] = error.detail
        except serializers.SkipField:
            continue
        else:
            values[name.lower().replace("-", "_")] = found
    if errors:
        raise ValidationError(errors)
    return values


def _value_of(field: Field, text: str) -> Any:
    """The header's parsed value. Raises SkipField if the header is optional and was not sent."""
    return field.run_validation(text or serializers.empty)


def _parsed_query(request: Request, query: type[Query]) -> tuple[dict[str, Any], dict[str, Any]]:
    given = {name: [text for text in texts if text] for name, texts in request.query_params.lists()}
    parser = query(data={name: texts[-1] for name, texts in given.items() if texts})
    errors: dict[str, Any] = {} if parser.is_valid() else dict(parser.errors)
    for name in given:
        if name not in parser.fields:
            if query.refuses_unknown:
                known = ", ".join(parser.fields)
                errors[name] = [f"There is no such parameter. The parameters are: {known}."]
        elif (count := len(request.query_params.getlist(name))) > 1:
            errors[name] = [_REPEATED.format(count=count)]
    return ({} if errors else dict(parser.validated_data)), errors
