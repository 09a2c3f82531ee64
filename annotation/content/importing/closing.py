"""Closes open tasks for which an import contains rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connection


def close_ranked_tasks(*, ranked: Mapping[str, Sequence[str]]) -> None:
    """Closes each task whose only rankings with an order are the new rankings in `ranked` (ranking IDs by
    task ID). The result is the same whether a row with an order comes before or after other rows with the
    same responses.

    Tasks that annotators have started on, or that are reserved for an annotator, stay open. The statement
    also requires that all slots are open, because Postgres evaluates this condition again if a concurrent
    claim has changed the task.
    """
    if not ranked:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE annotation_rankingtask task SET state = 'done', open_slots = 0
             WHERE id = ANY(%s) AND state = 'open' AND kind = 'ranking' AND NOT reserved
               AND answered = 0 AND open_slots = overlap
               AND NOT EXISTS (SELECT FROM annotation_assignment WHERE task_id = task.id)
               AND NOT EXISTS (
                    SELECT FROM annotation_ranking ranking WHERE ranking.task_id = task.id
                       AND (tiers <> '[]' OR not_rankable OR all_bad) AND ranking.id <> ALL(%s))
            """,
            [list(ranked), [id for ids in ranked.values() for id in ids]],
        )
