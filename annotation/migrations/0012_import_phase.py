from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0011_sweeps")]

    operations = [
        migrations.AddField(
            model_name="import",
            name="phase",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What a queued import waits for, if not for a free worker.",
                max_length=100,
            ),
        ),
    ]
