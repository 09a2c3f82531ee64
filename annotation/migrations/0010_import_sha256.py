from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0009_texts_have_a_maximum_length")]

    operations = [
        migrations.AddField(
            model_name="import",
            name="sha256",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="SHA-256 of the stored file; empty until the file is stored.",
                max_length=64,
            ),
        ),
    ]
