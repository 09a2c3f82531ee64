"""Runs, models and loops in the audit log (annotation's migration 0012): who launched, cancelled, promoted."""

from django.db import migrations

# A run's progress and heartbeat are not anybody's decision, and its result stays in the row.
PROGRESS = (
    "{heartbeat_at,woken_at,phase,step,total_steps,eta_seconds,last_seq,result,worker,started_at,finished_at}"
)
ATTACH = f"""
CREATE TRIGGER audit AFTER INSERT OR DELETE ON training_trainingrun FOR EACH ROW
    EXECUTE FUNCTION rankloop_audit('{{}}', '{PROGRESS}');
CREATE TRIGGER audit_update AFTER UPDATE ON training_trainingrun FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.cancel_requested_at IS DISTINCT FROM NEW.cancel_requested_at
        OR OLD.recipe <> NEW.recipe OR OLD.inputs <> NEW.inputs)
    EXECUTE FUNCTION rankloop_audit('{{}}', '{PROGRESS}');
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON training_trainingrun FOR EACH STATEMENT
    EXECUTE FUNCTION rankloop_audit();
SELECT rankloop_audit_table('training_modelversion', '{{}}', '{{metrics}}');
SELECT rankloop_audit_table('training_loop');
"""
DETACH = """
DROP TRIGGER audit ON training_trainingrun;
DROP TRIGGER audit_update ON training_trainingrun;
DROP TRIGGER audit_truncate ON training_trainingrun;
SELECT rankloop_audit_table_no_more('training_modelversion');
SELECT rankloop_audit_table_no_more('training_loop');
"""


class Migration(migrations.Migration):
    dependencies = [("training", "0001_initial"), ("annotation", "0012_audit")]

    operations = [migrations.RunSQL(ATTACH, DETACH)]
