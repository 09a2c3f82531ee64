import annotation.ids
import annotation.models.people
import annotation.models.project
import annotation.models.task
import django.contrib.auth.models
import django.contrib.auth.validators
import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('actor', models.TextField()),
                ('action', models.CharField(choices=[('insert', 'Insert'), ('update', 'Update'), ('delete', 'Delete'), ('truncate', 'Truncate')], max_length=10)),
                ('table', models.TextField()),
                ('row_id', models.TextField(help_text='Empty for an entry about many rows; `after` contains their number.')),
                ('project_id', models.UUIDField(null=True)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
            ],
            options={
                'db_table': 'annotation_auditentry',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='RankingTask',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('overlap', models.PositiveSmallIntegerField()),
                ('open_slots', models.PositiveSmallIntegerField()),
                ('answered', models.PositiveSmallIntegerField(default=0)),
                ('priority', models.IntegerField(default=0)),
                ('round', models.PositiveIntegerField(default=0)),
                ('kind', models.CharField(choices=[('ranking', 'Ranking'), ('gold', 'Gold'), ('attention', 'Attention'), ('qualification', 'Qualification')], db_default='ranking', default='ranking', max_length=15)),
                ('reserved', models.BooleanField(db_default=False, default=False, help_text='Whether the task is assigned only to annotators with a reservation. Set by a trigger.')),
                ('moved_xid', models.BigIntegerField(db_default=annotation.models.task.TransactionId(), editable=False, help_text='The transaction that last added the task to the queue or moved it within the queue. Set by a trigger.')),
                ('gold_tiers', models.JSONField(blank=True, help_text='Tiers of response IDs, best first.', null=True)),
                ('metadata', models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, help_text='Other fields of the imported row, kept per task because rows can share a prompt.')),
                ('content_key', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('open', 'Open'), ('done', 'Done'), ('dropped', 'Dropped')], default='open', max_length=10)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('overlap__gte', 1), ('overlap__lte', 50)), name='task_overlap_in_bounds'),
                    models.CheckConstraint(condition=models.Q(('open_slots', 0), models.Q(('open_slots__gt', 0), ('open_slots__lte', django.db.models.expressions.CombinedExpression(models.F('overlap'), '-', models.F('answered')))), _connector='OR'), name='task_never_over_overlap'),
                    models.CheckConstraint(condition=models.Q(('kind', 'ranking'), models.Q(('gold_tiers__isnull', False), ('open_slots', 0), ('reserved', False)), _connector='OR'), name='check_has_gold_and_no_slots'),
                    models.CheckConstraint(condition=models.Q(('priority__gt', -2147483648)), name='task_priority_has_a_negative'),
                ],
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('message_id', models.UUIDField(help_text='Sent in `webhook-id`; the same in every attempt.', unique=True)),
                ('event', models.CharField(choices=[('ranking.submitted', 'Ranking Submitted'), ('task.finished', 'Task Finished'), ('snapshot.frozen', 'Snapshot Frozen'), ('run.finished', 'Run Finished'), ('webhook.test', 'Test')], max_length=40)),
                ('payload', models.JSONField()),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('dead', 'Dead')], default='pending', max_length=10)),
                ('attempts', models.PositiveSmallIntegerField(default=0, help_text='Attempts since the delivery was created or redelivered; the retry schedule depends on this number.')),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('state', 'pending')), fields=['next_attempt_at'], name='webhook_due'),
                    models.Index(condition=models.Q(('state', 'pending'), _negated=True), fields=['finished_at'], name='webhook_over'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(models.Q(('next_attempt_at__isnull', False), ('state', 'pending')), models.Q(models.Q(('state', 'pending'), _negated=True), ('next_attempt_at__isnull', True)), _connector='OR'), name='webhook_delivery_is_due_or_over'),
                ],
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('session_epoch', models.PositiveIntegerField(default=0, help_text='Incremented to end all sessions: each session is signed with this value.')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
                'abstract': False,
            },
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('slug', models.SlugField(max_length=80, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('guidelines', models.TextField(blank=True, help_text='Markdown.')),
                ('form', models.JSONField(default=dict, help_text='The questions that the project asks; see annotation.forms.answer_form.')),
                ('preset', models.CharField(max_length=40)),
                ('overlap', models.PositiveSmallIntegerField(default=1, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(50)])),
                ('lease_seconds', models.PositiveIntegerField(default=900, validators=[django.core.validators.MinValueValidator(30), django.core.validators.MaxValueValidator(86400)])),
                ('allocation_policy', models.CharField(choices=[('finish_started', 'Finish Started'), ('fifo', 'Fifo')], default='finish_started', max_length=20)),
                ('max_per_annotator', models.PositiveIntegerField(blank=True, help_text='Maximum number of answers per annotator.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('max_per_annotator_per_day', models.PositiveIntegerField(blank=True, help_text='Maximum number of answers per annotator and day (UTC).', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('skip_ways', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('me', 'Returns to the same annotator when no other task is left for them'), ('others', 'Goes to other annotators'), ('drop', 'Is dropped: no annotator gets the task again')], max_length=10), default=annotation.models.project.default_skip_ways, help_text='Where a skipped task can go; the first is the default.', size=3)),
                ('gold_rate', models.FloatField(default=0.0, help_text="Share of an annotator's tasks that are gold tasks.", validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(0.5)])),
                ('attention_rate', models.FloatField(default=0.0, help_text="Share of an annotator's tasks that are attention checks.", validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(0.5)])),
                ('gold_minimum_accuracy', models.FloatField(blank=True, help_text='An annotator whose accuracy on checks falls below this value is paused.', null=True, validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1.0)])),
                ('gold_minimum_answers', models.PositiveSmallIntegerField(default=10, help_text='The number of checks an annotator must answer before the minimum accuracy applies.', validators=[django.core.validators.MinValueValidator(1)])),
                ('qualification_pass_mark', models.FloatField(blank=True, help_text='The mean score that an annotator needs to qualify; null: no qualification.', null=True, validators=[django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(1.0)])),
                ('qualification_attempts', models.PositiveSmallIntegerField(default=2, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10)])),
                ('qualification_tasks', models.PositiveSmallIntegerField(blank=True, help_text='The number of tasks in one attempt; null: all qualification tasks.', null=True, validators=[django.core.validators.MinValueValidator(1)])),
                ('mixing_seed', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, help_text="Decides which of an annotator's tasks are checks. The seed is secret, so that annotators can't predict the checks.")),
                ('review_below', models.FloatField(db_default=0.6, default=0.6, help_text='Reviewers see tasks whose agreement is below this value. With 0, reviewers see no tasks.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)])),
                ('state', models.CharField(choices=[('active', 'Active'), ('paused', 'Paused'), ('archived', 'Archived')], default='active', max_length=10)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('overlap__gte', 1), ('overlap__lte', 50)), name='project_overlap_in_bounds'), models.CheckConstraint(condition=models.Q(('review_below__gte', 0), ('review_below__lte', 1)), name='project_review_below_is_a_share'), models.CheckConstraint(condition=models.Q(('lease_seconds__gte', 30), ('lease_seconds__lte', 86400)), name='project_lease_in_bounds'), models.CheckConstraint(condition=models.Q(('attention_rate__gte', 0), ('gold_rate__gte', 0), ('gold_rate__lte', django.db.models.expressions.CombinedExpression(models.Value(0.5), '-', models.F('attention_rate')))), name='project_is_not_mostly_checks')],
            },
        ),
        migrations.CreateModel(
            name='FormVersion',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(help_text="1 for the project's first form.")),
                ('form', models.JSONField(help_text='The questions; see annotation.forms.answer_form.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='form_versions', to='annotation.project')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('project', 'number'), name='form_version_once'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Exclusion',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('annotator_label', models.CharField(blank=True, help_text="The annotator's name in an imported file.", max_length=200)),
                ('reason', models.TextField()),
                ('paused', models.BooleanField(default=False, help_text='Whether the exclusion paused the membership; if so, lifting the exclusion resumes the membership.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('lifted_at', models.DateTimeField(blank=True, null=True)),
                ('annotator', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='exclusions', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('lifted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='exclusions', to='annotation.project')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['project', '-id'], name='exclusions_of_project'),
                ],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(models.Q(('annotator__isnull', False), ('annotator_label', '')), models.Q(('annotator__isnull', True), models.Q(('annotator_label', ''), _negated=True)), _connector='OR'), name='exclusion_is_of_an_account_or_a_label'),
                    models.CheckConstraint(condition=models.Q(('lifted_by__isnull', True), ('lifted_at__isnull', False), _connector='OR'), name='exclusion_is_lifted_at_a_time'),
                    models.UniqueConstraint(condition=models.Q(('lifted_at', None)), fields=('project', 'annotator', 'annotator_label'), name='excluded_once', nulls_distinct=False),
                ],
            },
        ),
        migrations.CreateModel(
            name='Desk',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('answered', models.PositiveIntegerField(default=0, help_text='Answered tasks, including checks but not qualification tasks.')),
                ('day', models.DateField(help_text='The UTC day of the newest answer, not counting qualification tasks.')),
                ('answered_on_day', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='desks', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='desks', to='annotation.project')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('project', 'annotator'), name='one_desk_per_annotator'),
                ],
            },
        ),
        migrations.CreateModel(
            name='DatasetSnapshot',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('sha256', models.CharField(help_text='SHA-256 of the Parquet file.', max_length=64)),
                ('path', models.CharField(help_text='Relative to settings.ARTEFACTS.', max_length=500)),
                ('rows', models.PositiveIntegerField()),
                ('comparisons', models.PositiveIntegerField()),
                ('selection', models.JSONField(default=dict)),
                ('card', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='snapshots', to='annotation.project')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('project', 'name'), name='snapshot_name_in_project'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Assignment',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('leased', 'Leased'), ('submitted', 'Submitted'), ('skipped', 'Skipped'), ('expired', 'Expired'), ('released', 'Released'), ('excluded', 'Excluded'), ('reviewing', 'Reviewing'), ('reviewed', 'Reviewed'), ('looked_at', 'Looked At')], default='leased', max_length=10)),
                ('token', models.UUIDField(default=uuid.uuid4)),
                ('shown_order', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ('leased_at', models.DateTimeField(default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField()),
                ('draft', models.JSONField(blank=True, null=True)),
                ('draft_version', models.PositiveIntegerField(default=0)),
                ('place', models.PositiveSmallIntegerField(db_default=0, default=0, help_text="The lease's number among the annotator's leases; the oldest lease is current.")),
                ('attempt', models.PositiveSmallIntegerField(db_default=0, default=0, help_text='Number of the qualification attempt, from 1; 0 for all other tasks.')),
                ('skip_reason', models.CharField(blank=True, max_length=500)),
                ('skip_way', models.CharField(blank=True, choices=[('me', 'Returns to the same annotator when no other task is left for them'), ('others', 'Goes to other annotators'), ('drop', 'Is dropped: no annotator gets the task again')], db_default='', max_length=10)),
                ('skipped_at', models.DateTimeField(blank=True, null=True)),
                ('score', models.FloatField(blank=True, help_text='The score of an answer to a check, 0 to 1.', null=True)),
                ('scored_at', models.DateTimeField(blank=True, null=True)),
                ('idempotency_key', models.CharField(blank=True, max_length=200)),
                ('answer_digest', models.CharField(blank=True, help_text='SHA-256 of the submitted answer.', max_length=64)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='assignments', to=settings.AUTH_USER_MODEL)),
                ('form_version', models.ForeignKey(db_index=False, help_text='The form that was shown. Set by a trigger with each new lease.', on_delete=django.db.models.deletion.PROTECT, related_name='assignments', to='annotation.formversion')),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='assignments', to='annotation.project')),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('state', 'leased')), fields=['expires_at'], name='lease_expiry'),
                    models.Index(condition=models.Q(('skip_way', 'me'), ('state', 'skipped')), fields=['project', 'annotator', 'skipped_at'], name='assignment_put_off'),
                    models.Index(condition=models.Q(('score__isnull', False)), fields=['project', 'annotator', 'scored_at'], name='assignment_scored'),
                ],
                'constraints': [
                    models.UniqueConstraint(condition=models.Q(('state', 'leased')), fields=('project', 'annotator', 'place'), name='one_open_lease_per_place'),
                    models.CheckConstraint(condition=models.Q(('place__gte', 0), ('place__lte', 2)), name='lease_place_in_bounds'),
                    models.CheckConstraint(condition=models.Q(('score', None), models.Q(('score__gte', 0), ('score__lte', 1)), _connector='OR'), name='score_is_a_share'),
                    models.UniqueConstraint(condition=models.Q(('state', 'reviewing')), fields=('project', 'annotator'), name='one_open_review'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Prompt',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('messages', models.JSONField(help_text='[{role, content}], oldest first.')),
                ('content_hash', models.CharField(max_length=64)),
                ('metadata', models.JSONField(default=dict)),
                ('split', models.CharField(choices=[('train', 'Train'), ('heldout', 'Heldout')], max_length=10)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='prompts', to='annotation.project')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('project', 'content_hash'), name='prompt_once_per_project'),
                ],
            },
        ),
        migrations.CreateModel(
            name='TaskAgreement',
            fields=[
                ('task', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='agreement', serialize=False, to='annotation.rankingtask')),
                ('rankings', models.PositiveSmallIntegerField(default=0, help_text='Number of annotations that are current and not excluded.')),
                ('agreement', models.FloatField(help_text='Share of annotator pairs with the same verdict, pooled over all response pairs.', null=True)),
                ('stale', models.BooleanField(default=True)),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('agreement', None), models.Q(('agreement__gte', 0), ('agreement__lte', 1)), _connector='OR'), name='agreement_is_a_share'),
                ],
            },
        ),
        migrations.AddField(
            model_name='rankingtask',
            name='project',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='annotation.project'),
        ),
        migrations.AddField(
            model_name='rankingtask',
            name='prompt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='annotation.prompt'),
        ),
        migrations.CreateModel(
            name='Ranking',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('annotator_label', models.CharField(blank=True, help_text="The annotator's name in an imported file.", max_length=200)),
                ('source', models.CharField(choices=[('browser', 'Browser'), ('api', 'Api'), ('import', 'Import')], max_length=10)),
                ('kind', models.CharField(choices=[('annotation', 'Annotation'), ('review', 'Review')], db_default='annotation', default='annotation', help_text='`review`: a decision by a reviewer, who has seen the other rankings.', max_length=10)),
                ('shown_order', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), help_text='Response IDs in the order in which they were shown.', size=None)),
                ('tiers', models.JSONField(help_text='Lists of response IDs, best first; IDs in one list are tied. Responses in no list rank below all others.')),
                ('places', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), editable=False, help_text="The tier of each of the task's responses, by position, from 0; 127 for responses in no tier. The database computes this field.", size=None)),
                ('strength', models.SmallIntegerField(blank=True, help_text="How much better the first tier is than the second tier, as one of the form's levels.", null=True)),
                ('ratings', models.JSONField(blank=True, default=dict, help_text='{response ID: {scale: value}}')),
                ('flags', models.JSONField(blank=True, default=dict, help_text='{response ID: [flag]}')),
                ('choices', models.JSONField(blank=True, db_default={}, default=dict, help_text='{question about the whole task: choice}')),
                ('confidence', models.SmallIntegerField(blank=True, help_text="One of the form's levels.", null=True)),
                ('not_rankable', models.BooleanField(default=False)),
                ('all_bad', models.BooleanField(db_default=False, default=False, help_text='No response is good enough; the ranking can still have tiers.')),
                ('comment', models.TextField(blank=True)),
                ('rewrite', models.TextField(blank=True, null=True)),
                ('touched', models.BooleanField(help_text='False: the shown order was submitted unchanged.')),
                ('duration_ms', models.PositiveBigIntegerField(blank=True, null=True)),
                ('import_key', models.CharField(blank=True, max_length=64, null=True)),
                ('metadata', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, help_text='Other fields of an imported file, unchanged.')),
                ('given_at', models.DateTimeField(blank=True, help_text='The time of the ranking in an imported file; `created_at` is the time of the import.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('annotator', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rankings', to=settings.AUTH_USER_MODEL)),
                ('assignment', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rankings', to='annotation.assignment')),
                ('form_version', models.ForeignKey(blank=True, db_index=False, help_text='The form that was shown; null for an imported ranking.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rankings', to='annotation.formversion')),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='rankings', to='annotation.project')),
                ('supersedes', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='superseded_by', to='annotation.ranking')),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rankings', to='annotation.rankingtask')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['project', 'created_at'], name='ranking_by_day'),
                    models.Index(condition=models.Q(('annotator__isnull', False)), fields=['annotator', 'project', '-id'], name='ranking_own_newest'),
                    models.Index(fields=['project', 'id'], name='ranking_pages'),
                    models.Index(condition=models.Q(('annotator_label', ''), _negated=True), fields=['project', 'annotator_label', 'id'], name='ranking_pages_of_label'),
                    models.Index(condition=models.Q(('comment', ''), _negated=True), fields=['project', 'id'], include=('task',), name='ranking_pages_with_comment'),
                    models.Index(condition=models.Q(('flags', {}), _negated=True), fields=['project', 'id'], include=('task',), name='ranking_pages_with_flags'),
                    models.Index(condition=models.Q(('rewrite__isnull', False)), fields=['project', 'id'], include=('task',), name='ranking_pages_with_rewrite'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('project', 'import_key'), name='ranking_imported_once'),
                    models.UniqueConstraint(condition=models.Q(('supersedes', None)), fields=('assignment',), name='one_first_ranking_per_assignment'),
                    models.CheckConstraint(condition=models.Q(models.Q(('all_bad', False), ('not_rankable', True), ('tiers', [])), models.Q(('not_rankable', False), models.Q(('all_bad', True), models.Q(('tiers', []), _negated=True), _connector='OR')), _connector='OR'), name='ranking_has_tiers_or_says_why_not'),
                    models.CheckConstraint(condition=models.Q(models.Q(('import_key__isnull', False), ('source', 'import')), ('annotator__isnull', False), _connector='OR'), name='ranking_is_somebodys'),
                    models.UniqueConstraint(condition=models.Q(('kind', 'review'), ('supersedes', None)), fields=('task',), name='one_first_review_per_task'),
                    models.CheckConstraint(condition=models.Q(('kind', 'annotation'), models.Q(('annotator__isnull', False), ('assignment__isnull', False), ('kind', 'review')), _connector='OR'), name='review_is_a_reviewers'),
                ],
            },
        ),
        migrations.AddField(
            model_name='assignment',
            name='task',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='assignments', to='annotation.rankingtask'),
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('open', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='annotation.project')),
                ('task', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='reservations', to='annotation.rankingtask')),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('open', True)), fields=['project', 'annotator', 'id'], name='reservation_open'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('task', 'annotator'), name='reserved_once_per_annotator'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Response',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('text', models.TextField(blank=True)),
                ('characters', models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Length('text'), help_text="Length of the text, stored so that length-bias reports need not decompress each text.", output_field=models.PositiveIntegerField())),
                ('model_name', models.CharField(blank=True, max_length=200)),
                ('sampling', models.JSONField(default=dict)),
                ('metadata', models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, help_text='Other fields of an imported file: the ID in the file, the language, …')),
                ('content_hash', models.CharField(help_text="SHA-256 of the text and the model's name.", max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('prompt', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='responses', to='annotation.prompt')),
            ],
            options={
                'indexes': [
                    models.Index(condition=models.Q(('model_name', ''), _negated=True), fields=['model_name', 'prompt'], name='response_of_model'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('prompt', 'content_hash'), name='response_once_per_prompt'),
                ],
            },
        ),
        migrations.CreateModel(
            name='Comparison',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('is_tie', models.BooleanField(default=False)),
                ('strength', models.SmallIntegerField(blank=True, null=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='comparisons', to='annotation.project')),
                ('prompt', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='comparisons', to='annotation.prompt')),
                ('ranking', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='comparisons', to='annotation.ranking')),
                ('other', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='losses', to='annotation.response')),
                ('preferred', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='wins', to='annotation.response')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(models.F('ranking'), django.db.models.functions.comparison.Least('preferred', 'other'), django.db.models.functions.comparison.Greatest('preferred', 'other'), name='pair_once'),
                    models.CheckConstraint(condition=models.Q(('preferred', models.F('other')), _negated=True), name='pair_is_of_two_responses'),
                ],
            },
        ),
        migrations.CreateModel(
            name='TaskProblem',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('unreadable', 'Unreadable'), ('wrong_language', 'Wrong language'), ('unsafe', 'Harmful or upsetting'), ('duplicate', 'Duplicate of another task'), ('other', 'Something else')], max_length=15)),
                ('text', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.TextField(blank=True, db_default='', help_text='The outcome, in the words of the manager who resolved the report.')),
                ('annotator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='task_problems', to=settings.AUTH_USER_MODEL)),
                ('assignment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='problems', to='annotation.assignment')),
                ('project', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='task_problems', to='annotation.project')),
                ('settled_by', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('task', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='problems', to='annotation.rankingtask')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['project', '-id'], name='problems_of_project'),
                    models.Index(condition=models.Q(('settled_at', None)), fields=['project'], name='problems_to_settle'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('assignment', 'kind'), name='problem_once_per_kind'),
                    models.CheckConstraint(condition=models.Q(models.Q(('kind', 'other'), _negated=True), models.Q(('text', ''), _negated=True), _connector='OR'), name='other_problem_says_what_it_is'),
                    models.CheckConstraint(condition=models.Q(models.Q(('note', ''), ('settled_at', None), ('settled_by', None)), models.Q(('settled_at__isnull', False), ('settled_by__isnull', False)), _connector='OR'), name='problem_settled_by_somebody'),
                ],
            },
        ),
        migrations.CreateModel(
            name='TaskResponse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField(help_text="The response's place in the imported order; annotators see a shuffled order.")),
                ('response', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='shown_in', to='annotation.response')),
                ('task', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='shown', to='annotation.rankingtask')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('task', 'response'), name='response_once_per_task'),
                    models.UniqueConstraint(fields=('task', 'position'), name='position_once_per_task'),
                    models.CheckConstraint(condition=models.Q(('position__gte', 0), ('position__lt', 10)), name='task_has_at_most_ten_responses'),
                ],
            },
        ),
        migrations.AddField(
            model_name='rankingtask',
            name='responses',
            field=models.ManyToManyField(related_name='tasks', through='annotation.TaskResponse', to='annotation.response'),
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('latency_ms', models.PositiveIntegerField()),
                ('error', models.CharField(blank=True, max_length=500)),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='log', to='annotation.webhookdelivery')),
            ],
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('url', models.CharField(max_length=2000)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('ranking.submitted', 'Ranking Submitted'), ('task.finished', 'Task Finished'), ('snapshot.frozen', 'Snapshot Frozen'), ('run.finished', 'Run Finished')], max_length=40), size=None)),
                ('state', models.CharField(choices=[('active', 'Active'), ('disabled', 'Disabled')], default='active', max_length=10)),
                ('disabled_reason', models.CharField(blank=True, max_length=500)),
                ('secret_version', models.PositiveIntegerField(default=1)),
                ('former_secret_until', models.DateTimeField(blank=True, help_text='Until this time, deliveries are also signed with the previous secret.', null=True)),
                ('failing_since', models.DateTimeField(blank=True, help_text='The first failure since the last success.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='webhooks', to='annotation.project')),
            ],
            options={
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('events__contained_by', ['ranking.submitted', 'task.finished', 'snapshot.frozen', 'run.finished']), ('events__len__gte', 1)), name='webhook_events_known'),
                ],
            },
        ),
        migrations.AddField(
            model_name='webhookdelivery',
            name='endpoint',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='annotation.webhookendpoint'),
        ),
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('prefix', models.CharField(help_text="The token's first characters, which identify it in lists.", max_length=12)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('read', 'Read'), ('annotate', 'Annotate'), ('manage', 'Manage'), ('train', 'Train')], max_length=20), default=annotation.models.people.every_scope, size=None)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, help_text='Null: the token does not expire.', null=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_tokens', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('scopes__contained_by', ['read', 'annotate', 'manage', 'train']), ('scopes__len__gte', 1)), name='token_scopes_known')],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('annotator', 'Annotator'), ('reviewer', 'Reviewer'), ('manager', 'Manager')], max_length=10)),
                ('state', models.CharField(choices=[('active', 'Active'), ('paused', 'Paused')], default='active', max_length=10)),
                ('paused_reason', models.CharField(blank=True, db_default='', help_text='Shown to the paused member.', max_length=500)),
                ('judged_since', models.DateTimeField(blank=True, null=True)),
                ('qualified_at', models.DateTimeField(blank=True, null=True)),
                ('qualification_attempt', models.PositiveSmallIntegerField(db_default=1, default=1, help_text='The current qualification attempt, or the next one if none is in progress.')),
                ('extra_attempts', models.PositiveSmallIntegerField(db_default=0, default=0, help_text="Attempts that a manager granted beyond the project's limit.")),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='memberships', to='annotation.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('project', 'user'), name='one_membership_per_person')],
            },
        ),
        migrations.CreateModel(
            name='Invitation',
            fields=[
                ('id', models.UUIDField(default=annotation.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('annotator', 'Annotator'), ('reviewer', 'Reviewer'), ('manager', 'Manager')], max_length=10)),
                ('note', models.CharField(blank=True, help_text="A manager's note about the invited person.", max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField()),
                ('accepted_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('accepted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='invitations', to='annotation.project')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('accepted_at', None), ('accepted_by', None)), models.Q(('accepted_at__isnull', False), ('accepted_by__isnull', False), ('revoked_at', None)), _connector='OR'), name='invitation_accepted_once_and_by_somebody')],
            },
        ),
        migrations.AddField(
            model_name='taskagreement',
            name='project',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='annotation.project'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(fields=('task', 'annotator', 'attempt'), name='task_once_per_annotator'),
        ),
        migrations.AddConstraint(
            model_name='assignment',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'reviewing')), fields=('task',), name='one_reviewer_at_a_time'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(models.F('project'), django.db.models.expressions.CombinedExpression(models.F('priority'), '*', models.Value(-1)), models.F('id'), condition=models.Q(('open_slots__gt', 0), ('reserved', False), ('state', 'open')), name='task_queue_fifo'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(models.F('project'), django.db.models.expressions.CombinedExpression(models.F('priority'), '*', models.Value(-1)), models.ExpressionWrapper(models.Q(('open_slots', models.F('overlap'))), output_field=models.BooleanField()), models.F('id'), condition=models.Q(('open_slots__gt', 0), ('reserved', False), ('state', 'open')), name='task_queue_finish_started'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(condition=models.Q(('open_slots__gt', 0), ('reserved', False), ('state', 'open')), fields=['project', 'moved_xid'], name='task_queue_moved'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(fields=['project', 'id'], name='task_pages'),
        ),
        migrations.AddIndex(
            model_name='rankingtask',
            index=models.Index(condition=models.Q(('state', 'open'), models.Q(('kind', 'ranking'), _negated=True)), fields=['project', 'kind'], name='task_checks'),
        ),
        migrations.AddConstraint(
            model_name='rankingtask',
            constraint=models.UniqueConstraint(fields=('project', 'content_key'), name='task_once_per_project'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['endpoint', '-id'], name='webhook_newest'),
        ),
        migrations.AddIndex(
            model_name='taskagreement',
            index=models.Index(fields=['project', 'agreement', 'task'], name='agreement_lowest'),
        ),
        migrations.AddIndex(
            model_name='taskagreement',
            index=models.Index(condition=models.Q(('stale', True)), fields=['project'], name='agreement_stale'),
        ),
    ]
