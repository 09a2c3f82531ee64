"""An attempt to qualify may have fewer tasks than there are."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0023_settled_task_problems'),
    ]

    operations = [
        migrations.AddField(
            model_name='project',
            name='qualification_tasks',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Of one attempt, where there are more; null: all of them in each attempt.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
    ]
