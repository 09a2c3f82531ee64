import annotation.ids
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models



class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('annotation', '0002_functions_and_triggers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Loop',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('enabled', models.BooleanField(default=True)),
                ('min_new_comparisons', models.PositiveIntegerField(default=200)),
                ('improve_with', models.CharField(choices=[('rejection_sampling', 'Rejection Sampling'), ('ppo', 'Ppo')], default='ppo', max_length=20)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='loop', to='annotation.project')),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('min_new_comparisons__gte', 1)), name='loop_waits_for_something'),
                ],
            },
        ),
        migrations.CreateModel(
            name='TrainingRun',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('sft', 'Sft'), ('reward_model', 'Reward Model'), ('rejection_sampling', 'Rejection Sampling'), ('ppo', 'Ppo'), ('sample', 'Sample'), ('evaluate', 'Evaluate')], max_length=20)),
                ('recipe', models.JSONField()),
                ('inputs', models.JSONField()),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=10)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('tries', models.PositiveIntegerField(default=0)),
                ('worker', models.CharField(blank=True, default='', max_length=200)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('woken_at', models.DateTimeField(null=True)),
                ('cancel_requested_at', models.DateTimeField(null=True)),
                ('phase', models.CharField(blank=True, default='', max_length=100)),
                ('step', models.PositiveIntegerField(default=0)),
                ('total_steps', models.PositiveIntegerField(default=0)),
                ('eta_seconds', models.FloatField(null=True)),
                ('last_seq', models.BigIntegerField(default=0)),
                ('error', models.JSONField(null=True)),
                ('result', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('loop', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='runs', to='training.loop')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='training_runs', to='annotation.project')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['project', '-created_at'], name='training_run_newest'),
                    models.Index(condition=models.Q(('state__in', ['queued', 'running'])), fields=['state', 'heartbeat_at'], name='training_run_unfinished'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'running', 'succeeded', 'failed', 'cancelled'])), name='training_run_state_known'),
                    models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), models.Q(('attempt__gte', 1), ('heartbeat_at__isnull', False)), _connector='OR'), name='training_run_running_was_claimed'),
                    models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state__in', ['queued', 'running'])), models.Q(('finished_at__isnull', False), ('state__in', ['succeeded', 'failed', 'cancelled'])), _connector='OR'), name='training_run_finished_when_final'),
                    models.CheckConstraint(condition=models.Q(models.Q(('state', 'failed'), _negated=True), ('error__isnull', False), _connector='OR'), name='training_run_failure_has_a_cause'),
                ],
            },
        ),
        migrations.CreateModel(
            name='RunEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('seq', models.BigIntegerField()),
                ('attempt', models.PositiveIntegerField()),
                ('type', models.CharField(choices=[('metrics', 'Metrics'), ('sample', 'Sample'), ('progress', 'Progress'), ('state', 'State')], max_length=10)),
                ('step', models.PositiveIntegerField()),
                ('data', models.JSONField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='training.trainingrun')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('run', 'seq'), name='run_event_seq_once'),
                ],
            },
        ),
        migrations.CreateModel(
            name='ModelVersion',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200, unique=True)),
                ('kind', models.CharField(choices=[('policy', 'Policy'), ('reward_model', 'Reward Model')], max_length=20)),
                ('base_model', models.CharField(max_length=500)),
                ('path', models.CharField(max_length=500)),
                ('weights', models.CharField(choices=[('full', 'Full'), ('adapter', 'Adapter')], default='full', max_length=10)),
                ('metrics', models.JSONField(default=dict)),
                ('stage', models.CharField(choices=[('candidate', 'Candidate'), ('production', 'Production'), ('archived', 'Archived')], default='candidate', max_length=12)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('parent', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='training.modelversion')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='model_versions', to='annotation.project')),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='made_models', to='training.trainingrun')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['project', 'kind', '-created_at'], name='model_version_newest'),
                ],
                'constraints': [
                    models.UniqueConstraint(condition=models.Q(('stage', 'production')), fields=('project', 'kind'), name='one_production_model_per_kind'),
                    models.CheckConstraint(condition=models.Q(('kind__in', ['policy', 'reward_model'])), name='model_version_kind_known'),
                    models.CheckConstraint(condition=models.Q(('stage__in', ['candidate', 'production', 'archived'])), name='model_version_stage_known'),
                ],
            },
        ),
    ]
