"""Slots for checks, the numbers of each annotator's desk, what moved in the queue, and reservations."""

from importlib import import_module

from django.db import migrations

_COUNT_SLOTS_BEFORE = import_module("annotation.migrations.0002_triggers").COUNT_SLOTS

# As before, one statement changes the task's columns. New: a check has no slots and is never done; its row is
# left alone by leases, or everybody who is given it would wait for the others. A task that is no longer its
# annotator's without giving a slot back (a skip that is taken back) is marked as moved: their cursor is past it.
COUNT_SLOTS = """
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
            -- An answer that is put back in its place (an exclusion taken back) is not of today.
            answered_on_day = CASE
                WHEN given <= 0 OR OLD.state = 'excluded' THEN desk.answered_on_day
                WHEN desk.day = today THEN desk.answered_on_day + 1
                ELSE 1 END,
            day = CASE WHEN given <= 0 OR OLD.state = 'excluded' THEN desk.day ELSE today END,
            skipped = GREATEST(desk.skipped + skips, 0);
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER count_slots ON annotation_assignment;
CREATE TRIGGER count_slots
    AFTER INSERT OR DELETE OR UPDATE OF state, task_id, project_id, annotator_id, attempt
    ON annotation_assignment FOR EACH ROW EXECUTE FUNCTION rankloop_count_slots();

INSERT INTO annotation_desk (project_id, annotator_id, answered, day, answered_on_day, skipped)
SELECT a.project_id, a.annotator_id,
       count(*) FILTER (WHERE a.state = 'submitted'), (now() AT TIME ZONE 'UTC')::date,
       count(*) FILTER (WHERE a.state = 'submitted' AND r.created_at >= date_trunc('day', now(), 'UTC')),
       count(*) FILTER (WHERE a.state = 'skipped')
  FROM annotation_assignment a
  LEFT JOIN annotation_ranking r ON r.assignment_id = a.id AND r.supersedes_id IS NULL
 WHERE a.state IN ('submitted', 'skipped')
 GROUP BY 1, 2;
"""
COUNT_SLOTS_BEFORE = f"""
DROP TRIGGER count_slots ON annotation_assignment;
DROP FUNCTION rankloop_count_slots();
DELETE FROM annotation_desk;
{_COUNT_SLOTS_BEFORE}
"""

# A cursor says: nothing before this place was free for me when I looked. `moved_xid` is how a later look finds
# what has come to such a place since (services/queue.py).
NOTE_MOVES = """
CREATE FUNCTION rankloop_note_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.moved_xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE TRIGGER note_move BEFORE UPDATE ON annotation_rankingtask FOR EACH ROW
    WHEN (NEW.state = 'open' AND NEW.open_slots > 0 AND NOT NEW.reserved AND (
            OLD.state <> 'open' OR OLD.reserved OR NEW.open_slots > OLD.open_slots
            OR NEW.priority <> OLD.priority OR NEW.project_id <> OLD.project_id
            OR (NEW.open_slots = NEW.overlap) <> (OLD.open_slots = OLD.overlap)))
    EXECUTE FUNCTION rankloop_note_move();
"""
FORGET_MOVES = """
DROP TRIGGER note_move ON annotation_rankingtask;
DROP FUNCTION rankloop_note_move();
"""

RESERVE = """
CREATE FUNCTION rankloop_reserve() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    task uuid := COALESCE(NEW.task_id, OLD.task_id);
BEGIN
    -- One at a time per task: of two who reserve and let go at once, the second sees what the first did.
    PERFORM FROM annotation_rankingtask t WHERE t.id = task FOR NO KEY UPDATE;
    IF TG_OP = 'INSERT' AND NOT EXISTS (
            SELECT FROM annotation_rankingtask t WHERE t.id = task AND t.project_id = NEW.project_id) THEN
        RAISE EXCEPTION 'the reserved task is not in the project' USING ERRCODE = 'check_violation';
    END IF;
    UPDATE annotation_rankingtask t SET reserved = NOT t.reserved
     WHERE t.id = task
       AND t.reserved <> EXISTS (SELECT FROM annotation_reservation r WHERE r.task_id = task);
    RETURN NULL;
END $$;
CREATE TRIGGER reserve AFTER INSERT OR DELETE ON annotation_reservation
    FOR EACH ROW EXECUTE FUNCTION rankloop_reserve();
"""
UNRESERVE = """
DROP TRIGGER reserve ON annotation_reservation;
DROP FUNCTION rankloop_reserve();
"""

# A check has no slots that could be taken by others: there is always room for an answer put back in its place.
MAKE_ROOM = """
CREATE OR REPLACE FUNCTION rankloop_make_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_rankingtask SET overlap = overlap + 1, open_slots = open_slots + 1
     WHERE id = NEW.task_id AND open_slots = 0 AND kind = 'ranking';
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0010_allocation")]

    operations = [
        migrations.RunSQL(COUNT_SLOTS, COUNT_SLOTS_BEFORE),
        migrations.RunSQL(NOTE_MOVES, FORGET_MOVES),
        migrations.RunSQL(RESERVE, UNRESERVE),
        migrations.RunSQL(MAKE_ROOM, migrations.RunSQL.noop),
    ]
