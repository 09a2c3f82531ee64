"""Adds the field that stores the column mappings of earlier imports."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0002_functions_and_triggers")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="import_mappings",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Mappings chosen in earlier imports, newest last: {columns, mapping}.",
            ),
        )
    ]
