"""Caches reports until their data changes.

Reading the version of a project's data from the database takes a fraction of the time that a report takes. If
several requests need the same report, one request computes it and the others wait for the result. While
annotators are working, this result is already outdated when it is stored. It is still returned to every
request that arrived before its computation began. Otherwise, 20 waiting managers would cause 20 computations.
The reports are files in the state folder, because they are too large for the cache table.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache as once
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from django.core.cache import caches
from django.db import connection, transaction

import preferences
from annotation import oversight
from annotation.database.sql import Lock, acquire
from annotation.models import Project
from config.requests.arrival import seconds_since_arrival

logger = logging.getLogger(__name__)
CACHE = "reports"

# Rankings and forms are append-only, and an exclusion can be lifted only once, so counts are enough to detect
# changes. The other values can change, so they are hashed.
_VERSION = """
SELECT (SELECT count(*) FROM annotation_ranking WHERE project_id = %(project)s),
       (SELECT count(*) FROM annotation_formversion WHERE project_id = %(project)s),
       (SELECT (count(*), count(lifted_at))::text FROM annotation_exclusion WHERE project_id = %(project)s),
       (SELECT (count(*), sum(hashtextextended(concat_ws(' ', id, kind, round, gold_tiers), 0)))::text
          FROM annotation_rankingtask WHERE project_id = %(project)s),
       (SELECT (count(*), sum(hashtextextended(concat_ws(' ', id, split, metadata), 0)))::text
          FROM annotation_prompt WHERE project_id = %(project)s),
       (SELECT (count(*), sum(hashtextextended(concat_ws(' ', r.id, r.model_name), 0)))::text
          FROM annotation_response r JOIN annotation_prompt p ON p.id = r.prompt_id
         WHERE p.project_id = %(project)s),
       (SELECT sum(hashtextextended(concat_ws(' ', id, username), 0))::text FROM annotation_user)
"""


class _Stored(NamedTuple):
    began: datetime
    """The time just before the version was read. The result includes all earlier changes."""
    version: str
    result: Any


def cached_report(
    *, project: Project, name: str, options: Mapping[str, Any], compute: Callable[[], Any]
) -> Any:
    """The project's report with this name and these options. `compute` must depend only on the project's data
    and the options."""
    identity = (project.pk, name, sorted(options.items()))
    return cached_result(identity=identity, version=lambda: data_version(project), compute=compute)


def cached_result(*, identity: object, version: Callable[[], object], compute: Callable[[], Any]) -> Any:
    """Returns the stored result with this identity if it has the current version or if its computation began
    after this request arrived, and otherwise the result of `compute`. Identities and versions are compared by
    their `repr`."""
    key = hashlib.sha256(repr(identity).encode()).hexdigest()
    age = seconds_since_arrival()
    arrived = _database_time() - timedelta(seconds=age)
    stored = _stored(key)
    if stored is not None and stored.began >= arrived:
        return stored.result
    current = repr(version())
    if stored is not None and stored.version == current:
        return stored.result
    with transaction.atomic():
        acquire(Lock.REPORT.of(key))
        # Another request may have stored the result in the meantime.
        stored = _stored(key)
        if stored is not None and stored.began >= arrived:
            return stored.result
        began, current = _database_time(), repr(version())
        if stored is not None and stored.version == current:
            return stored.result
        found = _Stored(began, current, compute())
        _store(key, found)
        return found.result


def _database_time() -> datetime:
    """The current time by the database's clock, which all web servers share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (found,) = cursor.fetchone()
    assert isinstance(found, datetime)
    return found


def data_version(project: Project) -> tuple[object, ...]:
    """A version that changes when the data or the code of the project's reports changes."""
    with connection.cursor() as cursor:
        cursor.execute(_VERSION, {"project": project.pk})
        row = cursor.fetchone()
    return (code_version(oversight, preferences), *row)


@once
def code_version(*packages: ModuleType) -> int:
    """The modification time, in nanoseconds, of the newest Python file in the packages that compute stored
    results. An upgrade changes this time, so results stored earlier become stale."""
    folders = [Path(str(package.__file__)).parent for package in packages]
    return max(path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*.py"))


def _stored(key: str) -> _Stored | None:
    try:
        found = caches[CACHE].get(key)
    except Exception:  # a damaged file or a folder that can't be read must not make the report unavailable
        logger.warning("A stored report could not be read.", exc_info=True)
        return None
    return found if isinstance(found, _Stored) else None  # releases before 2026-12 stored plain tuples


def _store(key: str, found: _Stored) -> None:
    try:
        caches[CACHE].set(key, found)
    except OSError as error:  # for example, a full disk
        logger.warning("A report could not be stored: %s", error)
