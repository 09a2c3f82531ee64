"""A task can be opened again, or reviewed, after its project's form has changed to one for fewer or more responses.
It is then asked by the newest form that takes as many as it shows: a form for pairs says nothing of four."""

from django.db import migrations

_SHOW_NEWEST = """
CREATE OR REPLACE FUNCTION rankloop_show_newest_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.state IN ('leased', 'reviewing') AND OLD.state <> NEW.state) THEN
        SELECT id INTO NEW.form_version_id FROM annotation_formversion
         WHERE project_id = NEW.project_id ORDER BY {fits} number DESC LIMIT 1;
    ELSIF NEW.form_version_id IS DISTINCT FROM OLD.form_version_id THEN
        RAISE EXCEPTION 'an assignment keeps the form that was shown' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
# A form as a program may have put it there can lack a part; answer_form says what it is then.
FITS = """
    (cardinality(NEW.shown_order) BETWEEN COALESCE((form #>> '{responses,min}')::int, 2)
                                      AND COALESCE((form #>> '{responses,max}')::int, 10)) DESC,
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0015_session_epoch")]

    operations = [
        migrations.RunSQL(
            _SHOW_NEWEST.replace("{fits}", FITS), _SHOW_NEWEST.replace("{fits}", "")
        ),
    ]
