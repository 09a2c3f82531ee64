"""The shapes of the audit log, of exclusions, of reviews and of webhooks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.serializers import Answer, Assignment
from annotation.models.webhook import DELIVERED_EVENTS, MAX_URL_CHARACTERS, WebhookEvent

EXCERPT_CHARACTERS = 200


class AuditFilter(serializers.Serializer[Any]):
    actor = serializers.CharField(
        required=False, help_text="A user name, or an actor as it stands in an entry."
    )
    action = serializers.ChoiceField(choices=models.AuditEntry.Action.choices, required=False)
    table = serializers.CharField(required=False)
    row = serializers.CharField(required=False, help_text="The id of what was changed.")
    after = serializers.DateTimeField(required=False, help_text="From this time on.")
    before = serializers.DateTimeField(required=False, help_text="Up to, but not at this time.")


class AuditEntry(serializers.Serializer[models.AuditEntry]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(
        help_text="user:ID, anonymous, command:ACCOUNT:NAME, task:NAME, run:ID or database:ACCOUNT."
    )
    actor_name = serializers.SerializerMethodField(help_text="Of a user: the name of today.")
    action = serializers.ChoiceField(choices=models.AuditEntry.Action.choices)
    table = serializers.CharField()
    row_id = serializers.CharField(allow_blank=True)
    project_id = serializers.UUIDField(allow_null=True)
    before = serializers.DictField(allow_null=True, help_text="Of what changed, how it was.")
    after = serializers.DictField(allow_null=True, help_text="Of what changed, how it is since.")

    def get_actor_name(self, entry: models.AuditEntry) -> str:
        names: dict[str, str] = self.context["actor_names"]
        return names.get(entry.actor, "")


class WhoRanked(serializers.Serializer[Any]):
    """One of the two: an account of the project, or a name from an imported file."""

    username = serializers.CharField(max_length=150, required=False)
    annotator_label = serializers.CharField(max_length=200, required=False)


class NewExclusion(WhoRanked):
    reason = serializers.CharField(max_length=2000)


class ExclusionEffect(serializers.Serializer[Any]):
    rankings = serializers.IntegerField(help_text="Annotations that would no longer count.")
    comparisons = serializers.IntegerField()
    reviews = serializers.IntegerField(help_text="Decisions that would no longer count.")
    tasks_reopening = serializers.IntegerField(help_text="Finished tasks that would be asked again.")
    leases = serializers.IntegerField(help_text="Tasks in hand that would be given back.")
    snapshots = serializers.IntegerField(
        help_text="Frozen since their first ranking. They may hold some of theirs and stay as they are."
    )


class Exclusion(serializers.Serializer[models.Exclusion]):
    id = serializers.UUIDField()
    username = serializers.CharField(source="annotator.username", default="", allow_blank=True)
    annotator_label = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    lifted_by = serializers.CharField(source="lifted_by.username", default=None, allow_null=True)
    lifted_at = serializers.DateTimeField(allow_null=True)


class LiftedExclusion(serializers.Serializer[Any]):
    exclusion = Exclusion()
    tasks_with_more_overlap = serializers.IntegerField(
        help_text="Tasks whose slot somebody filled meanwhile: both answers stay."
    )


class LiftEffect(serializers.Serializer[Any]):
    rankings = serializers.IntegerField(help_text="Annotations that would count again.")
    comparisons = serializers.IntegerField()
    reviews = serializers.IntegerField(help_text="Decisions that would count again.")
    tasks_with_more_overlap = serializers.IntegerField(
        help_text="Tasks whose slot somebody filled meanwhile: both answers would stay."
    )


class ReviewWaiting(serializers.Serializer[models.TaskAgreement]):
    task = serializers.UUIDField(source="task_id")
    excerpt = serializers.SerializerMethodField(help_text="Of the prompt's last message.")
    agreement = serializers.FloatField(help_text="Share of pairs of annotators who say the same, 0 to 1.")
    rankings = serializers.IntegerField()
    held_by = serializers.CharField(allow_null=True, help_text="The reviewer who has it open.")

    def get_excerpt(self, row: models.TaskAgreement) -> str:
        return excerpt_of(row.task)


class ReviewDecided(serializers.Serializer[models.Ranking]):
    task = serializers.UUIDField(source="task_id")
    excerpt = serializers.SerializerMethodField(help_text="Of the prompt's last message.")
    decided_by = serializers.CharField(source="annotator.username")
    decided_at = serializers.DateTimeField(source="created_at")

    def get_excerpt(self, row: models.Ranking) -> str:
        return excerpt_of(row.task)


def excerpt_of(task: models.RankingTask) -> str:
    return str(task.prompt.messages[-1]["content"])[:EXCERPT_CHARACTERS]


class ReviewQueue(serializers.Serializer[Any]):
    """The lowest of what waits and the newest of what is decided; `n_…` count all."""

    n_waiting = serializers.IntegerField()
    waiting = ReviewWaiting(many=True)
    n_decided = serializers.IntegerField()
    decided = ReviewDecided(many=True)


class AnswerGiven(serializers.Serializer[models.Ranking]):
    id = serializers.UUIDField()
    by = serializers.SerializerMethodField(help_text="A user name, or the name in an imported file.")
    tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    strength = serializers.IntegerField(allow_null=True)
    ratings = serializers.DictField()
    flags = serializers.DictField()
    choices = serializers.DictField()
    confidence = serializers.IntegerField(allow_null=True)
    not_rankable = serializers.BooleanField()
    all_bad = serializers.BooleanField()
    comment = serializers.CharField(allow_blank=True)
    rewrite = serializers.CharField(allow_blank=True, allow_null=True)
    created_at = serializers.DateTimeField()

    def get_by(self, ranking: models.Ranking) -> str:
        return ranking.annotator.username if ranking.annotator else ranking.annotator_label


class ReviewShown(serializers.Serializer[Any]):
    assignment = Assignment(help_text="The reviewer's hold on the task, in the shape of a lease.")
    answers = AnswerGiven(many=True)
    decision = AnswerGiven(allow_null=True)


class Decision(Answer):
    token = serializers.UUIDField()


class NewWebhook(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL_CHARACTERS)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices), max_length=len(WebhookEvent.values)
    )
    description = serializers.CharField(max_length=200, allow_blank=True, required=False)


class WebhookChanges(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL_CHARACTERS, required=False)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices),
        max_length=len(WebhookEvent.values),
        required=False,
    )
    description = serializers.CharField(max_length=200, allow_blank=True, required=False)
    state = serializers.ChoiceField(choices=models.WebhookEndpoint.State.choices, required=False)


class Webhook(serializers.Serializer[models.WebhookEndpoint]):
    id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    events = serializers.ListField(child=serializers.ChoiceField(choices=WebhookEvent.choices))
    state = serializers.ChoiceField(choices=models.WebhookEndpoint.State.choices)
    disabled_reason = serializers.CharField(allow_blank=True)
    failing_since = serializers.DateTimeField(allow_null=True)
    former_secret_until = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class WebhookWithSecret(serializers.Serializer[Any]):
    webhook = Webhook()
    secret = serializers.CharField(help_text="To check signatures with. It is shown this once.")


class WebhookAttempt(serializers.Serializer[models.WebhookAttempt]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)


class WebhookDelivery(serializers.Serializer[models.WebhookDelivery]):
    id = serializers.UUIDField(source="message_id", help_text="In `webhook-id`, without its dashes.")
    event = serializers.ChoiceField(choices=DELIVERED_EVENTS)
    payload = serializers.DictField()
    state = serializers.ChoiceField(choices=models.WebhookDelivery.State.choices)
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    attempts = WebhookAttempt(many=True, source="log.all")
