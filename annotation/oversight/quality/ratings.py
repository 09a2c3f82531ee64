"""Agreement on ratings: Krippendorff's α for each scale of a project's answer forms."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from annotation.models import Project, Ranking
from annotation.oversight.quality.estimates import SAMPLES, Estimate
from preferences.statistics.krippendorff import Metric, alpha

# Maximum number of tasks to read. With 3000 tasks, α is accurate to about ±0.01. Reading all tasks
# of a large project would take seconds.
MAX_TASKS = 3000
_METRICS: tuple[Metric, Metric] = ("ordinal", "interval")

# Selects the ratings of tasks that two or more named annotators rated. The tasks are sampled by a hash of
# their IDs, so the sample is stable and independent of the answers. The units of Krippendorff's α are
# responses, with one value per annotator. An imported annotator can have two rankings of a task, one of them
# without an order; the newer ratings count. Imported ratings can have any shape; only numbers on named scales
# count. A number that double precision can't represent (such as an integer of 400 digits) does not count.
_VALUES = """
WITH rated AS ({rated}), shared AS (
    SELECT task_id FROM rated GROUP BY task_id HAVING count(DISTINCT (annotator_id, annotator_label)) > 1
     ORDER BY md5(task_id::text) LIMIT %s
), newest AS (
    SELECT DISTINCT ON (task_id, annotator_id, annotator_label) task_id, ratings
      FROM rated JOIN shared USING (task_id) ORDER BY task_id, annotator_id, annotator_label, id DESC
)
SELECT scale.key, dense_rank() OVER (ORDER BY task_id),
       dense_rank() OVER (ORDER BY task_id, of_response.key), scale.value::float8
  FROM newest, jsonb_each(ratings) AS of_response, jsonb_each(
       CASE jsonb_typeof(of_response.value) WHEN 'object' THEN of_response.value ELSE '{{}}' END) AS scale
 WHERE CASE jsonb_typeof(scale.value) WHEN 'number'
       THEN scale.value::numeric = 0 OR abs(scale.value::numeric) BETWEEN 1e-300 AND 1e300 END
"""


@dataclass(frozen=True)
class RatingAgreement:
    """Krippendorff's α for one scale. The fields of the estimates are None if all values are equal."""

    scale: str
    alpha_ordinal: Estimate
    alpha_interval: Estimate
    n_units: int
    n_values: int


def rating_agreement(*, project: Project) -> list[RatingAgreement]:
    """Krippendorff's α for every scale, sorted by name. One query reads at most MAX_TASKS tasks, sampled by a
    hash of their IDs."""
    rated = (
        Ranking.objects.counted()
        .annotations()
        .filter(project=project, task__gold_tiers__isnull=True)
        .exclude(annotator=None, annotator_label="")
        .exclude(ratings={})
        .order_by()
        .values("id", "task_id", "annotator_id", "annotator_label", "ratings")
    )
    sql, params = rated.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_VALUES.format(rated=sql), [*params, MAX_TASKS])
        rows = cursor.fetchall()
    scales: dict[str, list[tuple[int, int, float]]] = {}
    for scale, task, unit, value in rows:
        scales.setdefault(scale, []).append((task, unit, value))
    return [_of_scale(scale, scales[scale]) for scale in sorted(scales)]


def _of_scale(scale: str, rows: list[tuple[int, int, float]]) -> RatingAgreement:
    tasks, units, values = zip(*rows, strict=True)
    ordinal, interval = (
        alpha(units, values, metric=metric, clusters=tasks, samples=SAMPLES) for metric in _METRICS
    )
    return RatingAgreement(
        scale, Estimate.of_alpha(ordinal), Estimate.of_alpha(interval), interval.n_units, interval.n_values
    )
