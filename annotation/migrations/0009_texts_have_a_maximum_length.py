"""Limits the length of texts that people type."""

from typing import Any

import django.core.validators
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual

GUIDELINES = 100_000


def refuse_long_guidelines(apps: Any, schema_editor: Any) -> None:
    """The guidelines are the only text that the API did not limit before."""
    projects = apps.get_model("annotation", "Project").objects.annotate(characters=Length("guidelines"))
    if slugs := list(projects.filter(characters__gt=GUIDELINES).values_list("slug", flat=True)):
        raise ValueError(
            f"The guidelines of {', '.join(slugs)} have more than {GUIDELINES:,} characters. Shorten them with"
            " the previous version of Rankloop, then migrate again."
        )


class Migration(migrations.Migration):
    dependencies = [("annotation", "0008_only_stored_secrets")]

    operations = [
        migrations.RunPython(refuse_long_guidelines, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="project",
            name="guidelines",
            field=models.TextField(
                blank=True,
                help_text="Markdown.",
                validators=[django.core.validators.MaxLengthValidator(GUIDELINES)],
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=LessThanOrEqual(Length("guidelines"), GUIDELINES), name="project_guidelines_length"
            ),
        ),
        migrations.AddConstraint(
            model_name="exclusion",
            constraint=models.CheckConstraint(
                condition=LessThanOrEqual(Length("reason"), 2_000), name="exclusion_reason_length"
            ),
        ),
        migrations.AddConstraint(
            model_name="ranking",
            constraint=models.CheckConstraint(
                condition=Q(source="import")
                | Q(LessThanOrEqual(Length("comment"), 10_000))
                & Q(LessThanOrEqual(Length("rewrite"), 100_000)),
                name="ranking_text_length",
            ),
        ),
        migrations.AddConstraint(
            model_name="taskproblem",
            constraint=models.CheckConstraint(
                condition=Q(LessThanOrEqual(Length("text"), 2_000)) & Q(LessThanOrEqual(Length("note"), 2_000)),
                name="problem_text_length",
            ),
        ),
    ]
