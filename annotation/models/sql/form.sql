-- Keeps every form of a project as a version. Each lease and each ranking refers to the version that was
-- shown.

-- The trigger runs AFTER the change, because the version's foreign key needs the project's row. A trigger
-- also covers forms that are changed in bulk or by hand.
CREATE OR REPLACE FUNCTION rankloop_keep_form_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.form IS DISTINCT FROM OLD.form THEN
        INSERT INTO annotation_formversion (id, project_id, number, form, created_at)
        SELECT gen_random_uuid(), NEW.id, coalesce(max(number), 0) + 1, NEW.form, now()
          FROM annotation_formversion WHERE project_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER keep_form_version AFTER INSERT OR UPDATE OF form ON annotation_project
    FOR EACH ROW EXECUTE FUNCTION rankloop_keep_form_version();

-- Each new lease gets the newest form; the lease and its answer keep that form. A project's form can change
-- to a form for fewer or more responses. If an older task is then reopened or reviewed, the task gets the
-- newest form that fits its number of responses. For example, a form for pairs does not fit a task with four
-- responses. A form that was written without validation can lack the bounds; the defaults are those of
-- annotation.forms.answer_form.
CREATE OR REPLACE FUNCTION rankloop_show_newest_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.state IN ('leased', 'reviewing') AND OLD.state <> NEW.state) THEN
        SELECT id INTO NEW.form_version_id FROM annotation_formversion
         WHERE project_id = NEW.project_id
           AND cardinality(NEW.shown_order) BETWEEN COALESCE((form #>> '{responses,min}')::int, 2)
                                                AND COALESCE((form #>> '{responses,max}')::int, 10)
         ORDER BY number DESC LIMIT 1;
        IF NOT FOUND THEN
            SELECT id INTO NEW.form_version_id FROM annotation_formversion
             WHERE project_id = NEW.project_id ORDER BY number DESC LIMIT 1;
        END IF;
    ELSIF NEW.form_version_id IS DISTINCT FROM OLD.form_version_id THEN
        RAISE EXCEPTION 'an assignment keeps the form that was shown' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER show_newest_form BEFORE INSERT OR UPDATE OF state, form_version_id
    ON annotation_assignment FOR EACH ROW EXECUTE FUNCTION rankloop_show_newest_form();

CREATE OR REPLACE FUNCTION rankloop_ranking_fits_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.form_version_id IS DISTINCT FROM
            (SELECT form_version_id FROM annotation_assignment WHERE id = NEW.assignment_id) AND (
        NEW.assignment_id IS NOT NULL
        OR NEW.project_id <> (SELECT project_id FROM annotation_formversion WHERE id = NEW.form_version_id)
    ) THEN
        RAISE EXCEPTION 'ranking % refers to another form than the one that was shown', NEW.id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER fits_form AFTER INSERT ON annotation_ranking FOR EACH ROW
    WHEN (NEW.form_version_id IS NOT NULL OR NEW.assignment_id IS NOT NULL)
    EXECUTE FUNCTION rankloop_ranking_fits_form();
