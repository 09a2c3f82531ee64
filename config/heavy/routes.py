"""Determines which requests are heavy. A view declares its heavy methods:

class QualityView(ProjectView):
    heavy = {"GET": Heavy.REPORT}

With `heavy_with`, only requests with one of the listed query parameters are heavy:

class TasksView(ProjectView):
    heavy = {"GET": Heavy.REPORT}
    heavy_with = {"says"}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from django.urls import URLResolver, get_resolver

_NAMED_GROUP = re.compile(r"\(\?P<\w+>")


class Heavy(StrEnum):
    REPORT = "report"
    """Computes for a long time and then sends a response."""
    DOWNLOAD = "download"
    """Sends a large file while it is being converted. The speed of the client's connection determines
    how long the transfer takes."""


class HeavyRoutes:
    """The heavy routes of the current URL configuration, as one regular expression. Matching a request
    against this expression takes a few microseconds; Django's resolver takes ten times as long."""

    def __init__(self) -> None:
        found = list(_heavy(get_resolver(), ""))
        self._views = [view for _, view in found]
        self._routes = re.compile("|".join(f"({route})" for route, _ in found) or r"(?!)")

    def kind_of(self, method: str, path: str, query: bytes = b"") -> Heavy | None:
        match = self._routes.fullmatch(path.removeprefix("/"))
        if match is None or match.lastindex is None:
            return None
        view = self._views[match.lastindex - 1]
        needed: Set[str] = getattr(view, "heavy_with", frozenset())
        if needed and needed.isdisjoint(name for name, _ in parse_qsl(query.decode("latin-1"))):
            return None
        kinds: Mapping[str, Heavy] = view.heavy
        return kinds.get("GET" if method == "HEAD" else method)


def _heavy(resolver: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        route = prefix + entry.pattern.regex.pattern.removeprefix("^")
        if isinstance(entry, URLResolver):
            yield from _heavy(entry, route)
        elif hasattr(view := getattr(entry.callback, "view_class", None), "heavy"):
            yield _NAMED_GROUP.sub("(?:", route), view
