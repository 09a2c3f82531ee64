-- Maintains the columns of a task that the queue uses: `moved_xid` and `reserved`.

-- An annotator's cursor marks a place in the queue. When the cursor was set, no task before this place was
-- available to the annotator. `moved_xid` lets a later claim find the tasks that have moved to an earlier
-- place since then.
CREATE OR REPLACE FUNCTION rankloop_note_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.moved_xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER note_move BEFORE UPDATE ON annotation_rankingtask FOR EACH ROW
    WHEN (NEW.state = 'open' AND NEW.open_slots > 0 AND NOT NEW.reserved AND (
            OLD.state <> 'open' OR OLD.reserved OR NEW.open_slots > OLD.open_slots
            OR NEW.priority <> OLD.priority OR NEW.project_id <> OLD.project_id
            OR (NEW.open_slots = NEW.overlap) <> (OLD.open_slots = OLD.overlap)))
    EXECUTE FUNCTION rankloop_note_move();

-- A task is `reserved` while it has reservations.
CREATE OR REPLACE FUNCTION rankloop_reserve() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    task uuid := COALESCE(NEW.task_id, OLD.task_id);
BEGIN
    -- Changes run one at a time per task. If two changes are concurrent, the second change sees the result of
    -- the first.
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

CREATE OR REPLACE TRIGGER reserve AFTER INSERT OR DELETE ON annotation_reservation
    FOR EACH ROW EXECUTE FUNCTION rankloop_reserve();
