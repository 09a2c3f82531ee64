"""Exclusion gives slots back and takes them again; reviews are held to their rules. By trigger, so that a
state changed in bulk or by hand does the same."""

from django.db import migrations

# submitted -> excluded frees the slot (rankloop_count_slots sees to it); a task that was done is then not done.
# excluded -> submitted takes it again; where somebody else has it by now, the task's overlap grows by one, so
# the check task_never_over_overlap holds. The UPDATE waits for whoever claims on the task at this moment, and
# looks again.
SLOTS_OF_EXCLUDED = """
CREATE FUNCTION rankloop_reopen_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_rankingtask SET state = 'open'
     WHERE id = NEW.task_id AND state = 'done' AND answered < overlap;
    RETURN NULL;
END $$;
-- Runs after count_slots: triggers of one event run in the order of their names.
CREATE TRIGGER reopen_task AFTER UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (OLD.state = 'submitted' AND NEW.state = 'excluded') EXECUTE FUNCTION rankloop_reopen_task();

CREATE FUNCTION rankloop_make_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_rankingtask SET overlap = overlap + 1, open_slots = open_slots + 1
     WHERE id = NEW.task_id AND open_slots = 0;
    RETURN NEW;
END $$;
CREATE TRIGGER make_room BEFORE UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (OLD.state = 'excluded' AND NEW.state = 'submitted') EXECUTE FUNCTION rankloop_make_room();
"""
FORGET_SLOTS_OF_EXCLUDED = """
DROP TRIGGER reopen_task ON annotation_assignment;
DROP TRIGGER make_room ON annotation_assignment;
DROP FUNCTION rankloop_reopen_task(), rankloop_make_room();
"""

# A claim that began before an exclusion must not end after it with a lease. The shared lock waits for an
# exclusion that is under way (services/exclusion.py takes it alone), and the look after it sees its row.
NO_LEASE_FOR_EXCLUDED = """
CREATE FUNCTION rankloop_refuse_excluded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        hashtextextended('exclusion:' || NEW.project_id::text || ':' || NEW.annotator_id::text, 0));
    IF EXISTS (SELECT FROM annotation_exclusion e
                WHERE e.project_id = NEW.project_id AND e.annotator_id = NEW.annotator_id
                  AND e.annotator_label = '' AND e.lifted_at IS NULL) THEN
        RAISE EXCEPTION 'the annotator % is excluded from the project', NEW.annotator_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'nothing_for_the_excluded';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_excluded BEFORE INSERT ON annotation_assignment FOR EACH ROW
    WHEN (NEW.state IN ('leased', 'reviewing')) EXECUTE FUNCTION rankloop_refuse_excluded();
CREATE TRIGGER refuse_excluded_again BEFORE UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (NEW.state IN ('leased', 'reviewing') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION rankloop_refuse_excluded();
"""
LEASES_FOR_EXCLUDED = """
DROP TRIGGER refuse_excluded ON annotation_assignment;
DROP TRIGGER refuse_excluded_again ON annotation_assignment;
DROP FUNCTION rankloop_refuse_excluded();
"""

# A decision is superseded by whoever reviews the task again, an annotation by its annotator alone. One who
# annotates can't have seen the others' answers, and one who decides has: the assignment's state says which.
PROBE_BY_INDEX = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
_HOLD_TO_TASK = """
CREATE OR REPLACE FUNCTION rankloop_ranking_fits_task() RETURNS trigger LANGUAGE plpgsql {probe} AS $$
DECLARE
    bad uuid;
BEGIN
    SELECT r.id INTO bad FROM added r
      LEFT JOIN annotation_rankingtask t ON t.id = r.task_id
      LEFT JOIN annotation_assignment a ON a.id = r.assignment_id
      LEFT JOIN annotation_ranking former ON former.id = r.supersedes_id
     WHERE t.project_id <> r.project_id
        OR (r.assignment_id IS NOT NULL AND (a.task_id, a.annotator_id) IS DISTINCT FROM (r.task_id, r.annotator_id))
        OR {supersedes}
        OR cardinality(r.shown_order) <> (
            SELECT count(*) FILTER (WHERE s.response_id = ANY (r.shown_order))
              FROM annotation_taskresponse s WHERE s.task_id = r.task_id)
        OR cardinality(r.shown_order) <> (
            SELECT count(*) FROM annotation_taskresponse s WHERE s.task_id = r.task_id)
     LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'ranking % does not fit its task, its assignment or the ranking it supersedes', bad
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""
WITH_REVIEWS = _HOLD_TO_TASK.format(
    probe=PROBE_BY_INDEX,
    supersedes="""(r.supersedes_id IS NOT NULL AND r.kind = 'annotation'
                AND (former.task_id, former.annotator_id, former.annotator_label, former.kind)
                IS DISTINCT FROM (r.task_id, r.annotator_id, r.annotator_label, r.kind))
        OR (r.supersedes_id IS NOT NULL AND r.kind = 'review'
                AND (former.task_id, former.kind) IS DISTINCT FROM (r.task_id, r.kind))
        OR (r.assignment_id IS NOT NULL AND (r.kind = 'review') <> (a.state IN ('reviewing', 'reviewed')))""",
)
WITHOUT_REVIEWS = _HOLD_TO_TASK.format(
    probe=PROBE_BY_INDEX,
    supersedes="""(r.supersedes_id IS NOT NULL AND (former.task_id, former.annotator_id, former.annotator_label)
                IS DISTINCT FROM (r.task_id, r.annotator_id, r.annotator_label))""",
)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0004_exclusion_and_review")]

    operations = [
        migrations.RunSQL(SLOTS_OF_EXCLUDED, FORGET_SLOTS_OF_EXCLUDED),
        migrations.RunSQL(NO_LEASE_FOR_EXCLUDED, LEASES_FOR_EXCLUDED),
        migrations.RunSQL(WITH_REVIEWS, WITHOUT_REVIEWS),
    ]
