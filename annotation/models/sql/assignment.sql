-- Updates the task, the annotator's desk and reservations when an assignment's state changes.

-- One statement changes the task's slots, answers and state. If two annotators finish a task at the same
-- time, the second change therefore includes the first answer. If the overlap would be exceeded, the
-- constraint task_never_over_overlap makes the whole transaction fail. A check has no slots and is never
-- done. Leases do not change a check's row. Otherwise, all annotators who get the check would wait for each
-- other. When a skip is withdrawn, the annotator can get the task again, although no slot becomes free. The
-- annotator's queue cursor is already past the task. The task is therefore marked as moved.
CREATE OR REPLACE FUNCTION rankloop_count_slots() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held int := 0;
    given int := 0;
    skips int := 0;
    was_mine boolean := false;
    is_mine boolean := false;
    kept boolean := false;
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.task_id, NEW.project_id, NEW.annotator_id, NEW.attempt)
            IS DISTINCT FROM (OLD.task_id, OLD.project_id, OLD.annotator_id, OLD.attempt) THEN
        RAISE EXCEPTION 'an assignment stays with its task and its annotator' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP <> 'INSERT' THEN
        held := -(OLD.state IN ('leased', 'submitted'))::int;
        given := -(OLD.state = 'submitted')::int;
        skips := -(OLD.state = 'skipped')::int;
        was_mine := OLD.state NOT IN ('expired', 'released');
    END IF;
    IF TG_OP <> 'DELETE' THEN
        held := held + (NEW.state IN ('leased', 'submitted'))::int;
        given := given + (NEW.state = 'submitted')::int;
        skips := skips + (NEW.state = 'skipped')::int;
        is_mine := NEW.state NOT IN ('expired', 'released');
    END IF;
    IF held <> 0 OR given <> 0 THEN
        UPDATE annotation_rankingtask AS task
           SET open_slots = CASE WHEN kind = 'ranking' THEN open_slots - held ELSE 0 END,
               answered = answered + given,
               state = CASE WHEN kind = 'ranking' AND state = 'open' AND answered + given >= overlap
                            THEN 'done' ELSE state END
         WHERE task.id = COALESCE(NEW.task_id, OLD.task_id)
           AND task.project_id = COALESCE(NEW.project_id, OLD.project_id)
           AND (given <> 0 OR kind = 'ranking')
        RETURNING task.reserved INTO kept;
        IF NOT FOUND AND NOT EXISTS (
                SELECT FROM annotation_rankingtask task
                 WHERE task.id = COALESCE(NEW.task_id, OLD.task_id)
                   AND task.project_id = COALESCE(NEW.project_id, OLD.project_id)) THEN
            RAISE EXCEPTION 'the assignment''s task is not in its project' USING ERRCODE = 'check_violation';
        END IF;
    ELSIF was_mine AND NOT is_mine THEN
        UPDATE annotation_rankingtask SET moved_xid = pg_current_xact_id()::text::bigint
         WHERE id = OLD.task_id AND kind = 'ranking';
    END IF;
    IF kept AND (given > 0 OR skips > 0) THEN
        UPDATE annotation_reservation SET open = false
         WHERE task_id = NEW.task_id AND annotator_id = NEW.annotator_id AND open;
    END IF;
    IF (given <> 0 OR skips <> 0) AND COALESCE(NEW.attempt, OLD.attempt) = 0 THEN
        INSERT INTO annotation_desk AS desk (project_id, annotator_id, answered, day, answered_on_day, skipped)
        VALUES (COALESCE(NEW.project_id, OLD.project_id), COALESCE(NEW.annotator_id, OLD.annotator_id),
                GREATEST(given, 0), today, GREATEST(given, 0), GREATEST(skips, 0))
        ON CONFLICT (project_id, annotator_id) DO UPDATE SET
            answered = GREATEST(desk.answered + given, 0),
            -- An answer that counts again after an exclusion is lifted does not count toward today's
            -- answers.
            answered_on_day = CASE
                WHEN given <= 0 OR OLD.state = 'excluded' THEN desk.answered_on_day
                WHEN desk.day = today THEN desk.answered_on_day + 1
                ELSE 1 END,
            day = CASE WHEN given <= 0 OR OLD.state = 'excluded' THEN desk.day ELSE today END,
            skipped = GREATEST(desk.skipped + skips, 0);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER count_slots
    AFTER INSERT OR DELETE OR UPDATE OF state, task_id, project_id, annotator_id, attempt
    ON annotation_assignment FOR EACH ROW EXECUTE FUNCTION rankloop_count_slots();

-- When an assignment changes from submitted to excluded, count_slots frees its slot. If the task was done,
-- this function opens the task again.
CREATE OR REPLACE FUNCTION rankloop_reopen_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_rankingtask SET state = 'open'
     WHERE id = NEW.task_id AND state = 'done' AND answered < overlap;
    RETURN NULL;
END $$;

-- Runs after count_slots: Postgres fires the triggers of one event in the order of their names.
CREATE OR REPLACE TRIGGER reopen_task AFTER UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (OLD.state = 'submitted' AND NEW.state = 'excluded') EXECUTE FUNCTION rankloop_reopen_task();

-- An assignment that changes from excluded to submitted takes its slot back. If another annotator has taken
-- the slot since, the task's overlap grows by one, so task_never_over_overlap holds. The UPDATE waits for a
-- concurrent claim on the task and then evaluates its WHERE clause again. A check has no slots, so its
-- overlap never grows.
CREATE OR REPLACE FUNCTION rankloop_make_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_rankingtask SET overlap = overlap + 1, open_slots = open_slots + 1
     WHERE id = NEW.task_id AND open_slots = 0 AND kind = 'ranking';
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER make_room BEFORE UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (OLD.state = 'excluded' AND NEW.state = 'submitted') EXECUTE FUNCTION rankloop_make_room();

-- A claim that began before an exclusion must not create a lease after the exclusion. An exclusion in
-- progress holds the lock exclusively, so the shared lock waits for the exclusion. The query that follows
-- then sees the exclusion's row.
CREATE OR REPLACE FUNCTION rankloop_refuse_excluded() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE TRIGGER refuse_excluded BEFORE INSERT ON annotation_assignment FOR EACH ROW
    WHEN (NEW.state IN ('leased', 'reviewing')) EXECUTE FUNCTION rankloop_refuse_excluded();
CREATE OR REPLACE TRIGGER refuse_excluded_again BEFORE UPDATE OF state ON annotation_assignment FOR EACH ROW
    WHEN (NEW.state IN ('leased', 'reviewing') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION rankloop_refuse_excluded();
