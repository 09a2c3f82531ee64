"""What annotators report of tasks; and the newest of what somebody said is found by index, in place of the
foreign key's own."""

import annotation.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

AUDIT = "SELECT rankloop_audit_table('annotation_taskproblem');"
AUDIT_NO_MORE = "SELECT rankloop_audit_table_no_more('annotation_taskproblem');"


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0020_invitations'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='ranking',
            index=models.Index(condition=models.Q(('annotator__isnull', False)), fields=['annotator', 'project', '-id'], name='ranking_own_newest'),
        ),
        migrations.AlterField(
            model_name='ranking',
            name='annotator',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rankings', to=settings.AUTH_USER_MODEL),
        ),
        migrations.CreateModel(
            name='TaskProblem',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('unreadable', "Can't be read"), ('wrong_language', 'In the wrong language'), ('unsafe', 'Harmful or upsetting'), ('duplicate', 'Was there before'), ('other', 'Something else')], max_length=15)),
                ('text', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='task_problems', to=settings.AUTH_USER_MODEL)),
                ('assignment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='problems', to='annotation.assignment')),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='task_problems', to='annotation.project')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='problems', to='annotation.rankingtask')),
            ],
            options={
                'indexes': [models.Index(fields=['project', '-id'], name='problems_of_project')],
                'constraints': [models.UniqueConstraint(fields=('assignment', 'kind'), name='problem_once_per_kind'), models.CheckConstraint(condition=models.Q(models.Q(('kind', 'other'), _negated=True), models.Q(('text', ''), _negated=True), _connector='OR'), name='other_problem_says_what_it_is')],
            },
        ),
        migrations.RunSQL(AUDIT, AUDIT_NO_MORE),
    ]
