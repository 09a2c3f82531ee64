"""A task can be opened again, or reviewed, after its project's form has changed to one for fewer or more responses.
It is then asked by the newest form that takes as many as it shows: a form for pairs says nothing of four."""

from django.db import migrations

_SHOW_NEWEST = """
CREATE OR REPLACE FUNCTION rankloop_show_newest_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.state IN ('leased', 'reviewing') AND OLD.state <> NEW.state) THEN
        {select}
    ELSIF NEW.form_version_id IS DISTINCT FROM OLD.form_version_id THEN
        RAISE EXCEPTION 'an assignment keeps the form that was shown' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
NEWEST = """
        SELECT id INTO NEW.form_version_id FROM annotation_formversion
         WHERE project_id = NEW.project_id ORDER BY number DESC LIMIT 1;
"""
# A form that a program put there as it liked can lack a part; answer_form says what it is then.
NEWEST_THAT_FITS = f"""
        SELECT id INTO NEW.form_version_id FROM annotation_formversion
         WHERE project_id = NEW.project_id
           AND cardinality(NEW.shown_order) BETWEEN COALESCE((form #>> '{{responses,min}}')::int, 2)
                                                AND COALESCE((form #>> '{{responses,max}}')::int, 10)
         ORDER BY number DESC LIMIT 1;
        IF NOT FOUND THEN
            {NEWEST}
        END IF;
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0015_session_epoch")]

    operations = [
        migrations.RunSQL(
            _SHOW_NEWEST.replace("{select}", NEWEST_THAT_FITS), _SHOW_NEWEST.replace("{select}", NEWEST)
        ),
    ]
