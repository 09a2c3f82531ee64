-- Refuses changes to rows that are never edited. Django raises IntegrityError, because the SQLSTATE is
-- check_violation.

CREATE OR REPLACE FUNCTION rankloop_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation', HINT = 'Write a new row instead; a revision supersedes a ranking.';
END $$;

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_ranking
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_comparison
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_datasetsnapshot
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_formversion
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();

-- Content that annotators have ranked cannot be changed afterwards.
CREATE OR REPLACE TRIGGER shown_stays BEFORE UPDATE OF project_id, messages ON annotation_prompt FOR EACH ROW
    WHEN (OLD.project_id IS DISTINCT FROM NEW.project_id OR OLD.messages IS DISTINCT FROM NEW.messages)
    EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER shown_stays BEFORE UPDATE OF prompt_id, text ON annotation_response FOR EACH ROW
    WHEN (OLD.prompt_id IS DISTINCT FROM NEW.prompt_id OR OLD.text IS DISTINCT FROM NEW.text)
    EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER shown_stays BEFORE UPDATE OF task_id, response_id, position ON annotation_taskresponse
    FOR EACH ROW
    WHEN (OLD.task_id IS DISTINCT FROM NEW.task_id OR OLD.response_id IS DISTINCT FROM NEW.response_id
        OR OLD.position IS DISTINCT FROM NEW.position)
    EXECUTE FUNCTION rankloop_refuse_change();
CREATE OR REPLACE TRIGGER shown_stays BEFORE UPDATE OF shown_order ON annotation_assignment FOR EACH ROW
    WHEN (OLD.shown_order IS DISTINCT FROM NEW.shown_order)
    EXECUTE FUNCTION rankloop_refuse_change();
