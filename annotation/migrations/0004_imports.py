"""Adds the table of imports (of uploaded files and of datasets on the Hub)."""

import annotation.ids
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0003_project_import_mappings'),
    ]

    operations = [
        migrations.CreateModel(
            name='Import',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('file_name', models.CharField(max_length=255)),
                ('size', models.BigIntegerField(help_text='Size of the file in bytes.')),
                ('hub', models.JSONField(help_text='The dataset on the Hub, if the file is downloaded: dataset, part, split, revision.', null=True)),
                ('options', models.JSONField(help_text='The choices of the import: format, mapping, votes, overlap, …')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=10)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('tries', models.PositiveIntegerField(default=0)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('woken_at', models.DateTimeField(null=True)),
                ('cancel_requested_at', models.DateTimeField(null=True)),
                ('share', models.FloatField(default=0.0, help_text="Share of the file's bytes read so far, 0 to 1.")),
                ('read', models.PositiveBigIntegerField(default=0, help_text='Number of rows read so far.')),
                ('failed', models.PositiveBigIntegerField(default=0, help_text='Number of rows rejected so far.')),
                ('report', models.JSONField(help_text='The report on all stored batches.', null=True)),
                ('error', models.JSONField(help_text='Why the import failed, as problem details.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='imports', to='annotation.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', '-id'], name='import_newest'), models.Index(condition=models.Q(('state__in', ['queued', 'running'])), fields=['state', 'heartbeat_at'], name='import_unfinished')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), models.Q(('attempt__gte', 1), ('heartbeat_at__isnull', False)), _connector='OR'), name='import_running_was_claimed'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state__in', ['queued', 'running'])), models.Q(('finished_at__isnull', False), ('state__in', ['succeeded', 'failed', 'cancelled'])), _connector='OR'), name='import_finished_when_final'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'failed'), _negated=True), ('error__isnull', False), _connector='OR'), name='import_failure_has_a_cause'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'succeeded'), _negated=True), ('report__isnull', False), _connector='OR'), name='import_success_has_a_report')],
            },
        ),
    ]
