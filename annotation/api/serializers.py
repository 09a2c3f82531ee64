"""Serializers shared by several parts of the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models

MAX_INTEGER = 2**31 - 1


class Message(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField(allow_blank=True)


class PromptShown(serializers.Serializer[Any]):
    messages = Message(many=True)


EXCERPT_CHARACTERS = 200


def excerpt_of(task: models.RankingTask) -> str:
    return str(task.prompt.messages[-1]["content"])[:EXCERPT_CHARACTERS]
