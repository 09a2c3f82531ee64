"""Serializers for tasks reserved for chosen annotators."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.desk.reservations import MAX_PEOPLE_AT_ONCE, MAX_TASKS_AT_ONCE


class Reservation(serializers.Serializer[models.Reservation]):
    task = serializers.UUIDField(source="task_id")
    annotator = serializers.CharField(source="annotator.username")
    open = serializers.BooleanField(help_text="False once the annotator has answered or skipped the task.")
    created_at = serializers.DateTimeField()


class _Tasks(serializers.Serializer[Any]):
    tasks = serializers.ListField(
        child=serializers.UUIDField(), allow_empty=False, max_length=MAX_TASKS_AT_ONCE
    )


class NewReservations(_Tasks):
    annotators = serializers.ListField(
        child=serializers.CharField(max_length=150), allow_empty=False, max_length=MAX_PEOPLE_AT_ONCE
    )


class Reserved(serializers.Serializer[Any]):
    reserved = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    short = serializers.IntegerField(
        help_text="Number of reserved open tasks that have fewer reserved annotators than required rankings."
    )


class LetGo(_Tasks):
    annotators = serializers.ListField(
        child=serializers.CharField(max_length=150),
        max_length=MAX_PEOPLE_AT_ONCE,
        required=False,
        help_text="Everybody by default.",
    )


class LetGoCount(serializers.Serializer[Any]):
    released = serializers.IntegerField()
