"""Query plans for a statement: the plan for specific values, and the generic plan for a prepared
statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction

PlanOf = Callable[[str, dict[str, Any]], str]


def plan_for_values(sql: str, params: dict[str, Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", params)
        return "\n".join(row[0] for row in cursor.fetchall())


def plan_for_any_values(sql: str, params: dict[str, Any]) -> str:
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    numbered = re.sub(r"%\((\w+)\)s", number, sql)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE any_values AS {numbered}")
        values = ", ".join(["%s"] * len(names))
        cursor.execute(f"EXPLAIN EXECUTE any_values({values})", [params[name] for name in names])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("DEALLOCATE any_values")
        return plan
