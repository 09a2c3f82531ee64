"""What people were shown when they ranked can't be rewritten under their rankings; and a skip is told to the
audit log, because the next lease of the task takes its traces away."""

from django.db import migrations

# (table, columns)
SHOWN = (
    ("annotation_prompt", ("project_id", "messages")),
    ("annotation_response", ("prompt_id", "text")),
    ("annotation_taskresponse", ("task_id", "response_id", "position")),
    ("annotation_assignment", ("shown_order",)),
)


def _keep(table: str, columns: tuple[str, ...]) -> str:
    changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
    return (
        f"CREATE TRIGGER shown_stays BEFORE UPDATE OF {', '.join(columns)} ON {table} FOR EACH ROW"
        f" WHEN ({changed}) EXECUTE FUNCTION rankloop_refuse_change();\n"
    )


KEEP = "".join(_keep(table, columns) for table, columns in SHOWN)
LET_GO = "".join(f"DROP TRIGGER shown_stays ON {table};\n" for table, _ in SHOWN)

AUDIT_SKIPS = """
CREATE TRIGGER audit_skip AFTER UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (NEW.state = 'skipped' AND OLD.state <> 'skipped')
    EXECUTE FUNCTION rankloop_audit('{}', '{token,draft,draft_version,shown_order}');
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0018_new_rows_look_up_theirs")]

    operations = [
        migrations.RunSQL(KEEP, LET_GO),
        migrations.RunSQL(AUDIT_SKIPS, "DROP TRIGGER audit_skip ON annotation_assignment;"),
    ]
