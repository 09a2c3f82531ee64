"""Model instances from hand-written SQL that joins several tables.

The ORM puts such a query together anew for every request, a millisecond of processor time and more for a join
of three tables: at the desk, more than Postgres takes to answer it. For the few queries of claim and submit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


class Columns(Generic[M]):
    """All columns of a model under an alias: `sql` for the SELECT, `take` for the values that come back."""

    def __init__(self, model: type[M], alias: str) -> None:
        fields = model._meta.concrete_fields
        self._model = model
        self._names = [field.attname for field in fields]
        self._json = frozenset(i for i, field in enumerate(fields) if isinstance(field, models.JSONField))
        self.sql = ", ".join(f'{alias}."{field.column}"' for field in fields)

    def take(self, values: Iterator[Any]) -> M:
        """The next instance of a row; reads as many values as there are columns."""
        taken = [next(values) for _ in self._names]
        for i in self._json:
            # The driver gives JSON as text, for the ORM's fields to read.
            taken[i] = json.loads(taken[i]) if isinstance(taken[i], str) else taken[i]
        return self._model.from_db("default", self._names, taken)
