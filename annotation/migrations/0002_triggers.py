"""Invariants that a constraint can't say. Errors carry SQLSTATE 23514 (check_violation), so Django raises
IntegrityError, as for any other broken constraint."""

from django.db import migrations

APPEND_ONLY = ["annotation_ranking", "annotation_comparison", "annotation_datasetsnapshot"]

REFUSE_CHANGE = """
CREATE FUNCTION rankloop_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation', HINT = 'Write a new row instead; a revision supersedes a ranking.';
END $$;
""" + "".join(
    f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();\n"
    for table in APPEND_ONLY
)
ALLOW_CHANGE = "".join(f"DROP TRIGGER append_only ON {table};\n" for table in APPEND_ONLY) + (
    "DROP FUNCTION rankloop_refuse_change();"
)

# One statement changes all three columns, so two people who finish a task at once can't both see the other's
# answer missing. The checks of the task (open_slots >= 0) then make an overrun fail the whole transaction.
COUNT_SLOTS = """
CREATE FUNCTION rankloop_count_slots() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held int := 0;
    given int := 0;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.task_id, NEW.project_id, NEW.annotator_id)
            IS DISTINCT FROM (OLD.task_id, OLD.project_id, OLD.annotator_id) THEN
        RAISE EXCEPTION 'an assignment stays with its task and its annotator' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP <> 'INSERT' THEN
        held := -(OLD.state IN ('leased', 'submitted'))::int;
        given := -(OLD.state = 'submitted')::int;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        held := held + (NEW.state IN ('leased', 'submitted'))::int;
        given := given + (NEW.state = 'submitted')::int;
    END IF;
    IF held <> 0 OR given <> 0 THEN
        UPDATE annotation_rankingtask AS task
           SET open_slots = open_slots - held,
               answered = answered + given,
               state = CASE WHEN state = 'open' AND answered + given >= overlap THEN 'done' ELSE state END
         WHERE task.id = COALESCE(NEW.task_id, OLD.task_id)
           AND task.project_id = COALESCE(NEW.project_id, OLD.project_id);
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the assignment''s task is not in its project' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_slots
    AFTER INSERT OR DELETE OR UPDATE OF state, task_id, project_id, annotator_id ON annotation_assignment
    FOR EACH ROW EXECUTE FUNCTION rankloop_count_slots();
"""

# Once per statement, over all the rows it added: a bulk import pays per batch. The plan is cached per session,
# maybe from when the tables were empty, so it is nailed to index probes.
PROBE_BY_INDEX = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
HOLD_TO_TASK = f"""
CREATE FUNCTION rankloop_ranking_fits_task() RETURNS trigger LANGUAGE plpgsql {PROBE_BY_INDEX} AS $$
DECLARE
    bad uuid;
BEGIN
    SELECT r.id INTO bad FROM added r
      LEFT JOIN annotation_rankingtask t ON t.id = r.task_id
      LEFT JOIN annotation_assignment a ON a.id = r.assignment_id
      LEFT JOIN annotation_ranking former ON former.id = r.supersedes_id
     WHERE t.project_id <> r.project_id
        OR (r.assignment_id IS NOT NULL AND (a.task_id, a.annotator_id) IS DISTINCT FROM (r.task_id, r.annotator_id))
        OR (r.supersedes_id IS NOT NULL AND (former.task_id, former.annotator_id, former.annotator_label)
                IS DISTINCT FROM (r.task_id, r.annotator_id, r.annotator_label))
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
CREATE TRIGGER fits_task AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_ranking_fits_task();

CREATE FUNCTION rankloop_comparison_fits_ranking() RETURNS trigger LANGUAGE plpgsql {PROBE_BY_INDEX} AS $$
DECLARE
    bad bigint;
BEGIN
    SELECT c.id INTO bad FROM added c
      JOIN annotation_ranking r ON r.id = c.ranking_id
      JOIN annotation_rankingtask t ON t.id = r.task_id
     WHERE (c.project_id, c.prompt_id) IS DISTINCT FROM (r.project_id, t.prompt_id)
        OR c.preferred_id <> ALL (r.shown_order)
        OR c.other_id <> ALL (r.shown_order)
     LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'comparison % is not of two responses of its ranking''s task', bad
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fits_ranking AFTER INSERT ON annotation_comparison
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_comparison_fits_ranking();
"""
LET_GO_OF_TASK = """
DROP TRIGGER fits_task ON annotation_ranking;
DROP TRIGGER fits_ranking ON annotation_comparison;
DROP FUNCTION rankloop_ranking_fits_task(), rankloop_comparison_fits_ranking();
"""

# Django's database cache. It holds the login throttle's counts, which every web process must share.
CACHE_TABLE = """
CREATE TABLE rankloop_cache (cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL);
CREATE INDEX rankloop_cache_expires ON rankloop_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0001_initial")]

    operations = [
        migrations.RunSQL(REFUSE_CHANGE, ALLOW_CHANGE),
        migrations.RunSQL(
            COUNT_SLOTS,
            "DROP TRIGGER count_slots ON annotation_assignment; DROP FUNCTION rankloop_count_slots();",
        ),
        migrations.RunSQL(HOLD_TO_TASK, LET_GO_OF_TASK),
        migrations.RunSQL(CACHE_TABLE, "DROP TABLE rankloop_cache;"),
    ]
