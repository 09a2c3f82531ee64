"""The checks of new rankings and comparisons begin at the new rows and look the others up, whatever a plan's age.

With joins, a plan made while the tables were small reads all rows of a table, or all new rows, once for each row of the
other: a session that had imported little before took minutes for 40,000 comparisons. A subquery can't be pulled up
over an OFFSET, so each new row looks its own ranking and task up, and an index finds them.
"""

from importlib import import_module

from django.db import migrations

_triggers = import_module("annotation.migrations.0002_triggers").HOLD_TO_TASK
_rankings = import_module("annotation.migrations.0005_exclusion_and_review_triggers").WITH_REVIEWS
_agreement = import_module("annotation.migrations.0014_review_and_webhook_triggers").MARK_AGREEMENT


def _function(script: str, name: str) -> str:
    start = script.index(f"CREATE FUNCTION {name}()")
    end = script.index("END $$;", start) + len("END $$;")
    return script[start:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


def _changed(function: str, changes: dict[str, str]) -> str:
    for before, after in changes.items():
        assert before in function, before
        function = function.replace(before, after)
    return function


_COMPARISONS = _function(_triggers, "rankloop_comparison_fits_ranking")
_AGREEMENT = _function(_agreement, "rankloop_mark_agreement")

COMPARISONS = _changed(
    _COMPARISONS,
    {
        """
      JOIN annotation_ranking r ON r.id = c.ranking_id
      JOIN annotation_rankingtask t ON t.id = r.task_id
""": """
      LEFT JOIN LATERAL (
        SELECT r.project_id, t.prompt_id, r.shown_order FROM annotation_ranking r
          JOIN annotation_rankingtask t ON t.id = r.task_id
         WHERE r.id = c.ranking_id OFFSET 0) r ON true
""",
        "(r.project_id, t.prompt_id)": "(r.project_id, r.prompt_id)",
    },
)
RANKINGS = _changed(
    _rankings,
    {
        f"LEFT JOIN {table} {name} ON {name}.id = r.{key}\n": (
            f"LEFT JOIN LATERAL (SELECT * FROM {table} WHERE id = r.{key} OFFSET 0) {name} ON true\n"
        )
        for table, name, key in (
            ("annotation_rankingtask", "t", "task_id"),
            ("annotation_assignment", "a", "assignment_id"),
            ("annotation_ranking", "former", "supersedes_id"),
        )
    },
)
AGREEMENT = _changed(_AGREEMENT, {"o.id <> r.id)": "o.id <> r.id OFFSET 0)"})


class Migration(migrations.Migration):
    dependencies = [("annotation", "0017_audit_second_factor")]

    operations = [
        migrations.RunSQL(COMPARISONS, _COMPARISONS),
        migrations.RunSQL(RANKINGS, _rankings),
        migrations.RunSQL(AGREEMENT, _AGREEMENT),
    ]
