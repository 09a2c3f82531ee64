-- Announces rounds, gates and promotions to webhooks (annotation/models/sql/webhook.sql).

CREATE OR REPLACE FUNCTION rankloop_emit_round() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(l.project_id, 'round.finished', jsonb_build_object(
        'round', NEW.id, 'number', NEW.number, 'state', NEW.state, 'reason', NEW.reason))
       FROM training_loop l WHERE l.id = NEW.loop_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER UPDATE OF state ON training_round FOR EACH ROW
    WHEN (NEW.state <> 'running' AND OLD.state = 'running')
    EXECUTE FUNCTION rankloop_emit_round();

-- A gate that has a project needs people to rank.
CREATE OR REPLACE FUNCTION rankloop_emit_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(m.project_id, 'gate.opened', jsonb_build_object(
        'gate', NEW.id, 'model', m.name, 'gate_project', p.slug))
       FROM training_modelversion m, annotation_project p WHERE m.id = NEW.model_id AND p.id = NEW.project_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER UPDATE OF project_id ON training_gate FOR EACH ROW
    WHEN (OLD.project_id IS NULL AND NEW.project_id IS NOT NULL)
    EXECUTE FUNCTION rankloop_emit_gate();

CREATE OR REPLACE FUNCTION rankloop_emit_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(m.project_id, 'model.promoted', jsonb_build_object(
        'model', m.name, 'kind', m.kind, 'gate', NEW.gate_id, 'reason', NEW.reason))
       FROM training_modelversion m WHERE m.id = NEW.model_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER INSERT ON training_stagechange FOR EACH ROW
    WHEN (NEW.after = 'production')
    EXECUTE FUNCTION rankloop_emit_promotion();

-- The history of stages is only added to.
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE OR DELETE ON training_stagechange FOR EACH ROW
    EXECUTE FUNCTION rankloop_refuse_change();
