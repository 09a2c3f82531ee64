"""The weight of each ranking in a reliability-weighted snapshot.

An annotator's weight is 2p − 1, where p is the probability that the annotator's verdict on a pair is correct.
Dawid–Skene estimates p from the chosen rankings (preferences.statistics.reliability.pair_reliability). The
formula gives 1 for an annotator who is always correct and 0 for random answers. However, no weight is less
than FLOOR. To ignore an annotator's rankings entirely, exclude the annotator and state a reason. A reviewer's
ranking has the weight of an annotator who is always correct. Annotators without a name, or without pairs that
others also judged, get the mean weight of the other annotators. Weights are scaled to a mean of 1 over the
rankings with tiers, because training leaves out all others. The effective learning rate is then the same as
on an unweighted snapshot.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.db import connection
from django.db.models import Count

from annotation.datasets.choice import CHOSEN, chosen
from annotation.models import Ranking
from preferences.statistics.iterative.convergence import Convergence
from preferences.statistics.reliability import pair_reliability

FLOOR = 0.05
CHUNK_ROWS = 10_000
Person = tuple[UUID | None, str]
NOBODY: Person = (None, "")


@dataclass(frozen=True)
class Weights:
    """`of_person` contains the weights of annotators with an estimate; `of_review` is the weight of
    reviewers' rankings; `usual` is the weight of all other annotators. `convergence` states how the
    estimation ended; None if nothing was estimated."""

    of_person: Mapping[Person, float]
    of_review: float
    usual: float
    convergence: Convergence | None

    def of(self, row: Mapping[str, Any]) -> float:
        """Returns the weight of a ranking. `row` contains the ranking's kind, annotator_id and
        annotator_label."""
        if row["kind"] == Ranking.Kind.REVIEW:
            return self.of_review
        return self.of_person.get((row["annotator_id"], row["annotator_label"]), self.usual)

    def to_json(self) -> dict[str, Any]:
        found = self.of_person.values()
        return {
            "annotators": len(found),
            "lowest": min(found, default=None),
            "highest": max(found, default=None),
            "convergence": self.convergence and self.convergence._asdict(),
        }


def weigh() -> Weights:
    """Returns weights for the rankings chosen in this transaction (see `choice`)."""
    reliable, convergence = _reliable()
    counts = (
        chosen()
        .exclude(tiers=[])
        .order_by()
        .values_list("kind", "annotator_id", "annotator_label")
        .annotate(n=Count("pk"))
    )
    known = unknown = reviews = 0
    total = 0.0
    for kind, annotator_id, label, n in counts:
        person = (annotator_id, label)
        if kind == Ranking.Kind.REVIEW:
            reviews += n
        elif person in reliable:
            known += n
            total += n * reliable[person]
        else:
            unknown += n
    if not known:
        return Weights({}, 1.0, 1.0, convergence)
    usual = total / known
    mean = (total + unknown * usual + reviews) / (known + unknown + reviews)
    scaled = {who: weight / mean for who, weight in reliable.items()}
    return Weights(scaled, 1 / mean, usual / mean, convergence)


def _reliable() -> tuple[dict[Person, float], Convergence | None]:
    """Returns the weight max(2p − 1, FLOOR) of each named annotator. Omits annotators who gave no strict
    verdict on a pair that others also judged. Also returns how the estimation ended."""
    people: dict[Person, int] = {}
    pairs, who, tasks, verdicts = (array(kind) for kind in ("q", "q", "q", "b"))
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            f"""
            WITH shared AS (SELECT task_id FROM {CHOSEN} GROUP BY task_id HAVING count(*) > 1)
            SELECT dense_rank() OVER (ORDER BY task_id, least(preferred_id, other_id),
                    greatest(preferred_id, other_id)) - 1,
                ranking.annotator_id, ranking.annotator_label,
                dense_rank() OVER (ORDER BY task_id) - 1,
                CASE WHEN preferred_id < other_id THEN 1 ELSE -1 END
            FROM {CHOSEN} JOIN shared USING (task_id) JOIN annotation_ranking ranking USING (id, task_id)
            JOIN annotation_comparison comparison ON comparison.ranking_id = ranking.id
            WHERE NOT is_tie AND kind = 'annotation' AND (annotator_id IS NOT NULL OR annotator_label <> '')
            """
        )
        while rows := cursor.fetchmany(CHUNK_ROWS):
            for pair, annotator_id, label, task, verdict in rows:
                pairs.append(pair)
                who.append(people.setdefault((annotator_id, label), len(people)))
                tasks.append(task)
                verdicts.append(verdict)
    if not people:
        return {}, None
    found = pair_reliability(
        np.frombuffer(pairs, dtype=np.int64),
        np.frombuffer(who, dtype=np.int64),
        np.frombuffer(verdicts, dtype=np.int8),
        n_pairs=max(pairs) + 1,
        n_annotators=len(people),
        clusters=np.frombuffer(tasks, dtype=np.int64),
        intervals=False,
    )
    weights = {
        person: max(FLOOR, 2 * float(found.accuracy[index]) - 1)
        for person, index in people.items()
        if not np.isnan(found.accuracy[index])
    }
    return weights, found.convergence
