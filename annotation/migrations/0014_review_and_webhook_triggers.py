"""What a ranking, an exclusion, a finished task and a snapshot set off, in their own transaction: agreement to be
worked out anew, and deliveries to webhooks."""

from django.db import migrations

# The first ranking of a task leaves no mark: agreement takes two. Of two who answer at once the second waits for
# the first on their task's row (count_slots), so it sees the first one's ranking. A mark that stands already is
# locked all the same, so whoever works agreement out meanwhile leaves it to the next time.
MARK_AGREEMENT = """
CREATE FUNCTION rankloop_mark_agreement() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO annotation_taskagreement AS mark (task_id, project_id, rankings, stale)
    SELECT DISTINCT r.task_id, r.project_id, 0, true FROM added r
     WHERE r.kind = 'annotation'
       AND EXISTS (SELECT FROM annotation_ranking o WHERE o.task_id = r.task_id AND o.id <> r.id)
     ORDER BY r.task_id
    ON CONFLICT (task_id) DO UPDATE SET stale = true WHERE NOT mark.stale;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_agreement AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_mark_agreement();

CREATE FUNCTION rankloop_mark_agreement_of_excluded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_taskagreement SET stale = true
     WHERE NOT stale AND project_id = NEW.project_id AND task_id IN (
        SELECT task_id FROM annotation_ranking r
         WHERE r.project_id = NEW.project_id AND (r.annotator_id = NEW.annotator_id
            OR NEW.annotator_id IS NULL AND r.annotator_id IS NULL AND r.annotator_label = NEW.annotator_label));
    RETURN NULL;
END $$;
CREATE TRIGGER mark_agreement AFTER INSERT OR UPDATE OF lifted_at ON annotation_exclusion
    FOR EACH ROW EXECUTE FUNCTION rankloop_mark_agreement_of_excluded();

INSERT INTO annotation_taskagreement (task_id, project_id, rankings, stale)
SELECT task_id, project_id, 0, true FROM annotation_ranking
 WHERE kind = 'annotation' GROUP BY task_id, project_id HAVING count(*) > 1;
"""
FORGET_AGREEMENT = """
DROP TRIGGER mark_agreement ON annotation_ranking;
DROP TRIGGER mark_agreement ON annotation_exclusion;
DROP FUNCTION rankloop_mark_agreement(), rankloop_mark_agreement_of_excluded();
"""

# One row for each endpoint that wants the event. Apps with events of their own call this from their triggers.
EMIT = """
CREATE FUNCTION rankloop_emit(project uuid, event text, data jsonb) RETURNS void LANGUAGE sql AS $$
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

-- An import is not told by the ranking: it is one person's doing, at once.
CREATE FUNCTION rankloop_emit_rankings() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER tell_webhooks AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_emit_rankings();

CREATE FUNCTION rankloop_emit_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(NEW.project_id, 'task.finished', jsonb_build_object(
        'task', NEW.id, 'round', NEW.round, 'answered', NEW.answered, 'overlap', NEW.overlap));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_webhooks AFTER UPDATE ON annotation_rankingtask FOR EACH ROW
    WHEN (NEW.state = 'done' AND OLD.state <> 'done') EXECUTE FUNCTION rankloop_emit_task();

CREATE FUNCTION rankloop_emit_snapshot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rankloop_emit(NEW.project_id, 'snapshot.frozen', jsonb_build_object(
        'snapshot', NEW.id, 'name', NEW.name, 'sha256', NEW.sha256, 'rows', NEW.rows,
        'comparisons', NEW.comparisons));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_webhooks AFTER INSERT ON annotation_datasetsnapshot
    FOR EACH ROW EXECUTE FUNCTION rankloop_emit_snapshot();

SELECT rankloop_audit_table('annotation_webhookendpoint', '{}', '{failing_since}');
"""
STAY_SILENT = """
SELECT rankloop_audit_table_no_more('annotation_webhookendpoint');
DROP TRIGGER tell_webhooks ON annotation_ranking;
DROP TRIGGER tell_webhooks ON annotation_rankingtask;
DROP TRIGGER tell_webhooks ON annotation_datasetsnapshot;
DROP FUNCTION rankloop_emit_rankings(), rankloop_emit_task(), rankloop_emit_snapshot(), rankloop_emit;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0013_review_and_webhooks")]

    operations = [
        migrations.RunSQL(MARK_AGREEMENT, FORGET_AGREEMENT),
        migrations.RunSQL(EMIT, STAY_SILENT),
    ]
