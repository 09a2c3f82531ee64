-- Events for webhooks, written in the transaction of the change that they announce.

-- Adds one delivery for each endpoint that subscribes to the event. Other apps call this function from their
-- own triggers.
CREATE OR REPLACE FUNCTION rankloop_emit(project uuid, event text, data jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO annotation_webhookdelivery
        (endpoint_id, message_id, event, payload, state, attempts, next_attempt_at, created_at)
    SELECT e.id, gen_random_uuid(), event, jsonb_build_object(
               'type', event,
               'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'data', jsonb_build_object('project', p.slug) || data),
           'pending', 0, now(), now()
      FROM annotation_webhookendpoint e JOIN annotation_project p ON p.id = e.project_id
     WHERE e.project_id = project AND e.state = 'active' AND event = ANY (e.events)
$$;

-- Imported rankings are not announced one by one: an import is a single act of one person.
CREATE OR REPLACE FUNCTION rankloop_emit_rankings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r annotation_ranking;
BEGIN
    FOR r IN SELECT a.* FROM added a
              WHERE a.source <> 'import' AND EXISTS (
                SELECT FROM annotation_webhookendpoint e WHERE e.project_id = a.project_id
                   AND e.state = 'active' AND 'ranking.submitted' = ANY (e.events)) LOOP
        PERFORM rankloop_emit(r.project_id, 'ranking.submitted', jsonb_build_object(
            'ranking', r.id, 'task', r.task_id, 'kind', r.kind, 'supersedes', r.supersedes_id,
            'not_rankable', r.not_rankable));
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_emit_rankings();

CREATE OR REPLACE FUNCTION rankloop_emit_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(NEW.project_id, 'task.finished', jsonb_build_object(
        'task', NEW.id, 'round', NEW.round, 'answered', NEW.answered, 'overlap', NEW.overlap));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER UPDATE ON annotation_rankingtask FOR EACH ROW
    WHEN (NEW.state = 'done' AND OLD.state <> 'done') EXECUTE FUNCTION rankloop_emit_task();

CREATE OR REPLACE FUNCTION rankloop_emit_snapshot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(NEW.project_id, 'snapshot.frozen', jsonb_build_object(
        'snapshot', NEW.id, 'name', NEW.name, 'sha256', NEW.sha256, 'rows', NEW.rows,
        'comparisons', NEW.comparisons));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tell_webhooks AFTER INSERT ON annotation_datasetsnapshot
    FOR EACH ROW EXECUTE FUNCTION rankloop_emit_snapshot();
