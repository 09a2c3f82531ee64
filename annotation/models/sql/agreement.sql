-- Marks a task's agreement as stale when a ranking or an exclusion could have changed the agreement.

-- A task's first ranking marks nothing, because agreement needs two rankings. If two annotators answer at the
-- same time, the second transaction waits until the first releases the task's row (count_slots). The second
-- transaction therefore sees the first ranking. A row that is already stale is also locked. A concurrent
-- computation then skips the row, and the next computation includes the new ranking. OFFSET 0 and the planner
-- settings are explained in ranking.sql.
CREATE OR REPLACE FUNCTION rankloop_mark_agreement() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    INSERT INTO annotation_taskagreement AS mark (task_id, project_id, rankings, stale)
    SELECT DISTINCT r.task_id, r.project_id, 0, true FROM added r
     WHERE r.kind = 'annotation'
       AND EXISTS (SELECT FROM annotation_ranking o WHERE o.task_id = r.task_id AND o.id <> r.id OFFSET 0)
     ORDER BY r.task_id
    ON CONFLICT (task_id) DO UPDATE SET stale = true WHERE NOT mark.stale;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER mark_agreement AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_mark_agreement();

CREATE OR REPLACE FUNCTION rankloop_mark_agreement_of_excluded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE annotation_taskagreement SET stale = true
     WHERE NOT stale AND project_id = NEW.project_id AND task_id IN (
        SELECT task_id FROM annotation_ranking r
         WHERE r.project_id = NEW.project_id AND (r.annotator_id = NEW.annotator_id
            OR NEW.annotator_id IS NULL AND r.annotator_id IS NULL AND r.annotator_label = NEW.annotator_label));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER mark_agreement AFTER INSERT OR UPDATE OF lifted_at ON annotation_exclusion
    FOR EACH ROW EXECUTE FUNCTION rankloop_mark_agreement_of_excluded();
