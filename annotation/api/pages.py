"""Pagination of lists. The parameters are parsed like all other query parameters
(`annotation.api.parameters`)."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl

from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from annotation.api.parameters import Field, Query, Taken, WholeNumber, parse

PAGE_SIZE = 100
MAX_PAGE_SIZE = 500
MAX_CURSOR_CHARACTERS = 500
_REASON = "This cursor does not belong to this list. Use the `next` link from the response unchanged."


@extend_schema_field({"type": "string", "format": "cursor", "maxLength": MAX_CURSOR_CHARACTERS})
class CursorField(serializers.CharField):
    """A page's position in a list, as encoded by DRF: the Base64 form of `o` (an offset), `r` (whether the
    page is read backwards) and `p` (the value of the sort key at the page's beginning).

    DRF would pass `p` to the database without checking its type, so the field `position` validates `p` here.
    """

    def __init__(self, position: Field, **options: Any) -> None:
        super().__init__(max_length=MAX_CURSOR_CHARACTERS, required=False, **options)
        self._position = position
        self._offset = WholeNumber(max_value=CursorPagination.offset_cutoff)

    def to_internal_value(self, data: Any) -> Any:
        text: str = super().to_internal_value(data)
        try:
            query = base64.b64decode(text, validate=True).decode("ascii")
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=3)
            parts = dict(pairs)
            offset = self._offset.run_validation(parts.pop("o", "0"))
            reverse = {"0": False, "1": True}[parts.pop("r", "0")]
            position = parts.pop("p", None)
            if position is not None:
                self._position.run_validation(position)
        except (binascii.Error, ValueError, KeyError, ValidationError):
            raise ValidationError(_REASON) from None
        if parts or len({name for name, _ in pairs}) < len(pairs):
            raise ValidationError(_REASON)
        place: Any = position  # DRF's type stubs declare `position` as a number
        return Cursor(offset=offset, reverse=reverse, position=place)


def page_query(position: Field) -> type[Query]:
    """The pagination parameters of a list. `position` is a field that parses the list's sort key."""
    return type(
        "PageQuery",
        (Query,),
        {
            "cursor": CursorField(position, help_text="The cursor from a `next` or `previous` link."),
            "page_size": WholeNumber(
                min_value=1, max_value=MAX_PAGE_SIZE, default=PAGE_SIZE, help_text="Entries per page."
            ),
        },
    )


BY_UUID = page_query(serializers.UUIDField())
BY_NUMBER = page_query(WholeNumber())


class NewestFirst(CursorPagination):
    """Lists the newest rows first. Pages are ordered by ID, because a cursor requires a sort key that is
    unique and never changes. An ID is a UUIDv7, which sorts by creation time, or a number from a database
    sequence."""

    ordering = "-id"
    query = BY_UUID
    """The pagination parameters in the schema, which are the same for all lists."""
    asked: dict[str, Any]

    def query_of(self, queryset: models.QuerySet[Any]) -> type[Query]:
        return BY_NUMBER if isinstance(queryset.model._meta.pk, models.IntegerField) else BY_UUID

    def paginate_queryset(
        self, queryset: models.QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        self.asked = parse(request, Taken(self.query_of(queryset), {}))
        return super().paginate_queryset(queryset, request, view)

    def get_page_size(self, request: Request) -> int:
        return int(self.asked["page_size"])

    def decode_cursor(self, request: Request) -> Cursor | None:
        return self.asked.get("cursor")
