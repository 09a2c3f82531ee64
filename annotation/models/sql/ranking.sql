-- Ensures that rankings and comparisons fit their task, and that each ranking's places follow from its tiers.
--
-- The checks run once per statement, over all rows added by the statement. A bulk import therefore runs the
-- checks only once per batch. Each check starts at the new rows and looks up other rows by index. A database
-- session can keep using a plan that was made when the tables were small. With plain joins, such a plan reads
-- all rows of a table once for each new row. Checking 40,000 comparisons in this way took minutes. Postgres
-- does not pull up a subquery with an OFFSET, so the subquery runs as a separate lookup for each new row. The
-- planner settings make these lookups use an index.

-- Returns the places of a task's responses, in the order of the responses' positions. A response's place is
-- the number of its tier, counted from 0. If a response is in no tier, its place is 127 (`UNRANKED` in
-- preferences.statistics.pairs). Fails if the tiers contain a response twice or a response that does not
-- belong to the task.
CREATE OR REPLACE FUNCTION rankloop_places(task uuid, tiers jsonb) RETURNS smallint[] LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    places smallint[];
BEGIN
    SELECT array_agg(COALESCE(
               (SELECT min(tier.number) - 1 FROM jsonb_array_elements(tiers) WITH ORDINALITY AS tier (ids, number)
                 WHERE tier.ids ? s.response_id::text), 127)::smallint ORDER BY s.position)
      INTO places FROM annotation_taskresponse s WHERE s.task_id = task;
    IF jsonb_array_length(jsonb_path_query_array(tiers, '$[*][*]'))
            <> cardinality(array_remove(places, 127::smallint)) THEN
        RAISE EXCEPTION 'the tiers do not name responses of the task %, each at most once', task
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN places;
END $$;

CREATE OR REPLACE FUNCTION rankloop_set_places() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    places smallint[] := rankloop_places(NEW.task_id, NEW.tiers);
BEGIN
    IF NEW.places <> places THEN
        RAISE EXCEPTION 'the places % of ranking % do not follow from its tiers', NEW.places, NEW.id
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.places := places;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER set_places BEFORE INSERT ON annotation_ranking
    FOR EACH ROW EXECUTE FUNCTION rankloop_set_places();

-- A review decision can be superseded by any reviewer, but an annotation only by its annotator. Annotators
-- have not seen other answers, but reviewers have; the assignment's state distinguishes annotations from
-- decisions.
CREATE OR REPLACE FUNCTION rankloop_ranking_fits_task() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    bad uuid;
BEGIN
    SELECT r.id INTO bad FROM added r
      LEFT JOIN LATERAL (SELECT * FROM annotation_rankingtask WHERE id = r.task_id OFFSET 0) t ON true
      LEFT JOIN LATERAL (SELECT * FROM annotation_assignment WHERE id = r.assignment_id OFFSET 0) a ON true
      LEFT JOIN LATERAL (SELECT * FROM annotation_ranking WHERE id = r.supersedes_id OFFSET 0) former ON true
     WHERE t.project_id <> r.project_id
        OR (r.assignment_id IS NOT NULL AND (a.task_id, a.annotator_id) IS DISTINCT FROM (r.task_id, r.annotator_id))
        OR (r.supersedes_id IS NOT NULL AND r.kind = 'annotation'
                AND (former.task_id, former.annotator_id, former.annotator_label, former.kind)
                IS DISTINCT FROM (r.task_id, r.annotator_id, r.annotator_label, r.kind))
        -- An order and an imported ranking without an order are separate statements of an annotator.
        OR (r.supersedes_id IS NOT NULL AND r.kind = 'annotation'
                AND (former.tiers <> '[]' OR former.not_rankable OR former.all_bad)
                IS DISTINCT FROM (r.tiers <> '[]' OR r.not_rankable OR r.all_bad))
        OR (r.supersedes_id IS NOT NULL AND r.kind = 'review'
                AND (former.task_id, former.kind) IS DISTINCT FROM (r.task_id, r.kind))
        OR (r.assignment_id IS NOT NULL AND (r.kind = 'review') <> (a.state IN ('reviewing', 'reviewed')))
        -- The shown order must contain each of the task's responses once, and each must have a place.
        OR cardinality(r.shown_order) <> cardinality(r.places)
        OR cardinality(r.shown_order) <> (
            SELECT count(*) FROM annotation_taskresponse s
             WHERE s.task_id = r.task_id AND s.response_id = ANY (r.shown_order))
     LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'ranking % does not fit its task, its assignment or the ranking it supersedes', bad
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER fits_task AFTER INSERT ON annotation_ranking
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_ranking_fits_task();

CREATE OR REPLACE FUNCTION rankloop_comparison_fits_ranking() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    bad bigint;
BEGIN
    SELECT c.id INTO bad FROM added c
      LEFT JOIN LATERAL (
        SELECT r.project_id, t.prompt_id, r.shown_order FROM annotation_ranking r
          JOIN annotation_rankingtask t ON t.id = r.task_id
         WHERE r.id = c.ranking_id OFFSET 0) r ON true
     WHERE (c.project_id, c.prompt_id) IS DISTINCT FROM (r.project_id, r.prompt_id)
        OR c.preferred_id <> ALL (r.shown_order)
        OR c.other_id <> ALL (r.shown_order)
     LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'comparison % is not of two responses of its ranking''s task', bad
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER fits_ranking AFTER INSERT ON annotation_comparison
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION rankloop_comparison_fits_ranking();
