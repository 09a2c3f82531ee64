-- Audits who launched, cancelled and resumed runs, promoted models and changed loops (see
-- annotation/models/sql/audit.sql).

SELECT rankloop_audit_table('training_modelversion', '{}', '{metrics,files}');
SELECT rankloop_audit_table('training_loop');

-- A run's progress and heartbeats are not audited, because they are not decisions by a user. The run's result is
-- not audited, because the result stays in the row.
CREATE OR REPLACE TRIGGER audit AFTER INSERT OR DELETE ON training_trainingrun FOR EACH ROW
    EXECUTE FUNCTION rankloop_audit('{}', '{heartbeat_at,woken_at,phase,step,total_steps,eta_seconds,last_seq,result,worker,started_at,finished_at}');
CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON training_trainingrun FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.cancel_requested_at IS DISTINCT FROM NEW.cancel_requested_at
        OR OLD.recipe <> NEW.recipe OR OLD.inputs <> NEW.inputs)
    EXECUTE FUNCTION rankloop_audit('{}', '{heartbeat_at,woken_at,phase,step,total_steps,eta_seconds,last_seq,result,worker,started_at,finished_at}');
CREATE OR REPLACE TRIGGER audit_truncate AFTER TRUNCATE ON training_trainingrun FOR EACH STATEMENT
    EXECUTE FUNCTION rankloop_audit();

SELECT rankloop_audit_table('training_round', '{}', '{settings}');
SELECT rankloop_audit_table('training_stagechange');
