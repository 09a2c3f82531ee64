"""Records the passes of a periodic sweep for lost jobs, so that the sweep can distinguish lost jobs from an
outage."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, models

# Three times the interval of a sweep, which runs every 15 s (CELERY_BEAT_SCHEDULE). After a shorter
# interruption, a healthy job's heartbeat is not old enough to look stale.
LONGEST_GAP = timedelta(seconds=45)
_NOTE_PASS = """
INSERT INTO annotation_sweep AS known (name, passed_at, unbroken_since)
VALUES (%(name)s, clock_timestamp(), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
    passed_at = clock_timestamp(),
    unbroken_since = CASE WHEN known.passed_at < clock_timestamp() - make_interval(secs => %(gap)s)
                          THEN clock_timestamp() ELSE known.unbroken_since END
RETURNING unbroken_since
"""


class SweepQuerySet(models.QuerySet["Sweep"]):
    def note_pass(self, name: str, *, longest_gap: timedelta = LONGEST_GAP) -> datetime:
        """Records a pass and returns the time of the first pass after the latest gap.

        During an outage, no heartbeat is renewed. Right after the outage, the heartbeats of all healthy jobs
        are therefore old. The sweep doesn't run during the outage either, whether the database is restarting,
        hung or unreachable. The sweep may therefore treat an old heartbeat as stale only if the sweep itself
        has run without a gap for at least the maximum age of a heartbeat.
        """
        with connection.cursor() as cursor:
            cursor.execute(_NOTE_PASS, {"name": name, "gap": longest_gap.total_seconds()})
            since: datetime = cursor.fetchone()[0]
        return since


class Sweep(models.Model):
    name = models.CharField(primary_key=True, max_length=40)
    passed_at = models.DateTimeField()
    unbroken_since = models.DateTimeField()

    objects = SweepQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
