"""Problems with tasks are settled by managers; what is left to settle is counted by index."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0022_lists_of_tasks_and_rankings'),
    ]

    operations = [
        migrations.AddField(
            model_name='taskproblem',
            name='note',
            field=models.TextField(blank=True, db_default='', help_text='What came of it, by who settled it.'),
        ),
        migrations.AddField(
            model_name='taskproblem',
            name='settled_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='taskproblem',
            name='settled_by',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='taskproblem',
            index=models.Index(condition=models.Q(('settled_at', None)), fields=['project'], name='problems_to_settle'),
        ),
        migrations.AddConstraint(
            model_name='taskproblem',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('note', ''), ('settled_at', None), ('settled_by', None)), models.Q(('settled_at__isnull', False), ('settled_by__isnull', False)), _connector='OR'), name='problem_settled_by_somebody'),
        ),
    ]
