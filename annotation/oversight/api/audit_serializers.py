"""Serializers for the audit log."""

from __future__ import annotations

from rest_framework import serializers

from annotation import models
from annotation.api.parameters import Query, name_field


class AuditFilter(Query):
    actor = name_field("A username, or an actor as shown in audit entries.")
    action = serializers.ChoiceField(choices=models.AuditEntry.Action.choices, required=False)
    table = name_field("The name of the changed table.")
    row = name_field("The ID of the changed row.")
    after = serializers.DateTimeField(required=False, help_text="Only changes made at this time or later.")
    before = serializers.DateTimeField(required=False, help_text="Before this time.")


class AuditEntry(serializers.Serializer[models.AuditEntry]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(
        help_text="One of `user:ID`, `anonymous`, `command:ACCOUNT:NAME`, `task:NAME`, `run:ID` and"
        " `database:ACCOUNT`."
    )
    actor_name = serializers.SerializerMethodField(
        help_text="The user's current name; empty for other actors."
    )
    action = serializers.ChoiceField(choices=models.AuditEntry.Action.choices)
    table = serializers.CharField()
    row_id = serializers.CharField(allow_blank=True)
    project_id = serializers.UUIDField(allow_null=True)
    before = serializers.DictField(allow_null=True, help_text="The previous values of the changed columns.")
    after = serializers.DictField(allow_null=True, help_text="The new values of the changed columns.")

    def get_actor_name(self, entry: models.AuditEntry) -> str:
        names: dict[str, str] = self.context["actor_names"]
        return names.get(entry.actor, "")
