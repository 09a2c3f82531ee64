-- Announces the end of every run, whatever its outcome, to webhooks (annotation/models/sql/webhook.sql).

CREATE OR REPLACE FUNCTION rankloop_emit_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(NEW.project_id, 'run.finished', jsonb_build_object(
        'run', NEW.id, 'kind', NEW.kind, 'state', NEW.state, 'attempt', NEW.attempt,
        'model', NEW.result -> 'model', 'error', NEW.error -> 'title'));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER UPDATE ON training_trainingrun FOR EACH ROW
    WHEN (NEW.state IN ('succeeded', 'failed', 'cancelled') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION rankloop_emit_run();
