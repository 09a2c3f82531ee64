from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('training', '0005_rloo_and_dpo'),
    ]

    operations = [
        migrations.CreateModel(
            name='TrainingWorker',
            fields=[
                ('name', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('gpus', models.JSONField(default=list)),
                ('memory_bytes', models.BigIntegerField()),
                ('threads', models.PositiveIntegerField()),
                ('seen_at', models.DateTimeField()),
            ],
        ),
    ]
