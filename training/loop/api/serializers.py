"""The JSON form of a training loop."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from training.models import Loop


class LoopSerializer(serializers.ModelSerializer[Loop]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = Loop
        fields = ["id", "project", "enabled", "min_new_comparisons", "improve_with", "created_at"]
        read_only_fields = ["id", "created_at"]


class SetLoopSerializer(serializers.ModelSerializer[Loop]):
    project = serializers.SlugField(max_length=80)
    min_new_comparisons = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)

    class Meta:
        model = Loop
        fields = ["project", "enabled", "min_new_comparisons", "improve_with"]
