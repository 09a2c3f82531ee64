"""Answer forms that can change under way: every form is kept as a version, and every lease and ranking says which
one was shown. And the parts of an answer that forms could not ask for before."""

import django.db.models.deletion
from django.db import migrations, models

import annotation.ids

# AFTER, so that the project is there for the version's foreign key; by trigger, so that a form changed in bulk or
# by hand has its version too.
KEEP_VERSIONS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_formversion
    FOR EACH ROW EXECUTE FUNCTION rankloop_refuse_change();

CREATE FUNCTION rankloop_keep_form_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.form IS DISTINCT FROM OLD.form THEN
        INSERT INTO annotation_formversion (id, project_id, number, form, created_at)
        SELECT gen_random_uuid(), NEW.id, coalesce(max(number), 0) + 1, NEW.form, now()
          FROM annotation_formversion WHERE project_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_form_version AFTER INSERT OR UPDATE OF form ON annotation_project
    FOR EACH ROW EXECUTE FUNCTION rankloop_keep_form_version();

INSERT INTO annotation_formversion (id, project_id, number, form, created_at)
SELECT gen_random_uuid(), id, 1, form, created_at FROM annotation_project;
UPDATE annotation_assignment a SET form_version_id = v.id
  FROM annotation_formversion v WHERE v.project_id = a.project_id;
SET CONSTRAINTS ALL IMMEDIATE;
"""
FORGET_VERSIONS = """
DROP TRIGGER keep_form_version ON annotation_project;
DROP FUNCTION rankloop_keep_form_version();
DROP TRIGGER append_only ON annotation_formversion;
"""

# The newest form with each new lease, and the same one for as long as the lease and its answer last.
SHOW_NEWEST = """
CREATE FUNCTION rankloop_show_newest_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.state IN ('leased', 'reviewing') AND OLD.state <> NEW.state) THEN
        SELECT id INTO NEW.form_version_id FROM annotation_formversion
         WHERE project_id = NEW.project_id ORDER BY number DESC LIMIT 1;
    ELSIF NEW.form_version_id IS DISTINCT FROM OLD.form_version_id THEN
        RAISE EXCEPTION 'an assignment keeps the form that was shown' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER show_newest_form BEFORE INSERT OR UPDATE OF state, form_version_id ON annotation_assignment
    FOR EACH ROW EXECUTE FUNCTION rankloop_show_newest_form();

CREATE FUNCTION rankloop_ranking_fits_form() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.form_version_id IS DISTINCT FROM
            (SELECT form_version_id FROM annotation_assignment WHERE id = NEW.assignment_id) AND (
        NEW.assignment_id IS NOT NULL
        OR NEW.project_id <> (SELECT project_id FROM annotation_formversion WHERE id = NEW.form_version_id)
    ) THEN
        RAISE EXCEPTION 'ranking % is of another form than was shown', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fits_form AFTER INSERT ON annotation_ranking FOR EACH ROW
    WHEN (NEW.form_version_id IS NOT NULL OR NEW.assignment_id IS NOT NULL)
    EXECUTE FUNCTION rankloop_ranking_fits_form();
"""
SHOW_ANY = """
DROP TRIGGER show_newest_form ON annotation_assignment;
DROP TRIGGER fits_form ON annotation_ranking;
DROP FUNCTION rankloop_show_newest_form(), rankloop_ranking_fits_form();
"""


def bring_forms_up_to_date(apps, schema_editor):
    """Comment and rewrite were yes or no, and the other parts were not there."""
    for project in apps.get_model("annotation", "Project").objects.all():
        form = project.form
        texts = {
            "comment": (form.get("comment", True), "Comment"),
            "rewrite": (form.get("rewrite", False), "A better answer"),
        }
        project.form = {
            "responses": {"min": 2, "max": 10},
            "ties": form.get("ties", True),
            "tie_label": "About equally good",
            "top_k": None,
            "strength": form.get("strength") and {"required": False, **form["strength"]},
            "ratings": [{"required": False, "points": [], **scale} for scale in form.get("ratings", [])],
            "flags": form.get("flags", []),
            "questions": [],
            "confidence": None,
            "not_rankable": form.get("not_rankable", True),
            "all_bad": None,
            **{
                name: {"label": label, "required": False} if asked else None
                for name, (asked, label) in texts.items()
            },
        }
        project.save(update_fields=["form"])


def form_version(name, **options):
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=name,
        to="annotation.formversion",
        **options,
    )


SHOWN = "The form that was shown. A trigger sets it to the newest with each new lease."


class Migration(migrations.Migration):
    dependencies = [("annotation", "0008_token_scopes")]

    operations = [
        migrations.CreateModel(
            name="FormVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "number",
                    models.PositiveIntegerField(help_text="1 for the form that the project began with."),
                ),
                ("form", models.JSONField(help_text="What was asked; see annotation.answer_form.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "project",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="form_versions",
                        to="annotation.project",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("project", "number"), name="form_version_once")
                ]
            },
        ),
        migrations.AddField("assignment", "form_version", form_version("assignments", null=True)),
        migrations.AddField(
            "ranking",
            "form_version",
            form_version(
                "rankings",
                null=True,
                blank=True,
                help_text="The form that was shown; none where the ranking was imported.",
            ),
        ),
        migrations.AddField(
            "ranking",
            "choices",
            models.JSONField(
                default=dict,
                db_default={},
                blank=True,
                help_text="{question about the whole task: choice}",
            ),
        ),
        migrations.AddField(
            "ranking",
            "confidence",
            models.SmallIntegerField(null=True, blank=True, help_text="One of the form's levels."),
        ),
        migrations.AddField(
            "ranking",
            "all_bad",
            models.BooleanField(
                default=False,
                db_default=False,
                help_text="None is good enough; may stand beside tiers, or alone.",
            ),
        ),
        migrations.AlterField(
            "ranking",
            "tiers",
            models.JSONField(
                help_text="Lists of response ids, best first; ids in one list are tied. "
                "Responses that were shown and are in none were left below all of them."
            ),
        ),
        migrations.RemoveConstraint("ranking", "ranking_has_tiers_or_is_not_rankable"),
        migrations.AddConstraint(
            "ranking",
            models.CheckConstraint(
                condition=models.Q(("all_bad", False), ("not_rankable", True), ("tiers", []))
                | models.Q(
                    ("not_rankable", False),
                    models.Q(("all_bad", True), models.Q(("tiers", []), _negated=True), _connector="OR"),
                ),
                name="ranking_has_tiers_or_says_why_not",
            ),
        ),
        migrations.RunPython(bring_forms_up_to_date, migrations.RunPython.noop),
        migrations.RunSQL(KEEP_VERSIONS, FORGET_VERSIONS),
        migrations.AlterField("assignment", "form_version", form_version("assignments", help_text=SHOWN)),
        migrations.RunSQL(SHOW_NEWEST, SHOW_ANY),
    ]
