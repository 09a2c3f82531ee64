from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("training", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="modelversion",
            name="files",
            field=models.JSONField(
                help_text="The size and SHA-256 of each file, by relative path. Null for a model that was "
                "registered before checksums were stored and has not been used since.",
                null=True,
            ),
        ),
    ]
