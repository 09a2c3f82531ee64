"""A run that is over is told to webhooks (annotation's migration 0014), whichever way it ended."""

from django.db import migrations

EMIT = """
CREATE FUNCTION rankloop_emit_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(NEW.project_id, 'run.finished', jsonb_build_object(
        'run', NEW.id, 'kind', NEW.kind, 'state', NEW.state, 'attempt', NEW.attempt,
        'model', NEW.result -> 'model', 'error', NEW.error -> 'title'));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_webhooks AFTER UPDATE ON training_trainingrun FOR EACH ROW
    WHEN (NEW.state IN ('succeeded', 'failed', 'cancelled') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION rankloop_emit_run();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0002_audit"),
        ("annotation", "0014_review_and_webhook_triggers"),
    ]

    operations = [
        migrations.RunSQL(
            EMIT, "DROP TRIGGER tell_webhooks ON training_trainingrun; DROP FUNCTION rankloop_emit_run();"
        )
    ]
