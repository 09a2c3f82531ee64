"""Builds model instances from hand-written SQL joins. Only the few queries of a claim or a submission use
this module.

The ORM would build the query again for every request. Building a query that joins three tables takes more
than a millisecond of processor time, which is longer than Postgres needs to run the query.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


class Columns(Generic[M]):
    """All columns of a model, read under a table alias. `sql` is for the SELECT list; `take` converts the
    returned values."""

    def __init__(self, model: type[M], alias: str) -> None:
        fields = model._meta.concrete_fields
        self._model = model
        self._names = [field.attname for field in fields]
        self._json = frozenset(i for i, field in enumerate(fields) if isinstance(field, models.JSONField))
        self.sql = ", ".join(f'{alias}."{field.column}"' for field in fields)

    def take(self, values: Iterator[Any]) -> M:
        """Builds an instance from the next values of a row, one for each of the model's columns."""
        taken = [next(values) for _ in self._names]
        for i in self._json:
            # The driver returns JSON as text; the ORM's fields decode it.
            taken[i] = json.loads(taken[i]) if isinstance(taken[i], str) else taken[i]
        return self._model.from_db("default", self._names, taken)
