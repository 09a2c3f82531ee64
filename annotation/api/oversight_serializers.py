"""The shapes of the audit log, of exclusions, of reviews and of webhooks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models


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
