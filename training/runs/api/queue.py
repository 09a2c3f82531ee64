from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from training.models import TrainingRun, TrainingWorker
from training.runs.queue import TrainingQueue, WaitingRun, training_queue


class QueuedRunSerializer(serializers.ModelSerializer[TrainingRun]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    created_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = TrainingRun
        fields = [
            "id", "project", "kind", "phase", "step", "total_steps", "eta_seconds", "worker", "device",
            "attempt", "created_by", "created_at", "started_at", "heartbeat_at",
        ]  # fmt: skip
        read_only_fields = fields


class WaitingRunSerializer(serializers.Serializer[WaitingRun]):
    run = QueuedRunSerializer()
    position = serializers.IntegerField(help_text="1 for the run that starts next.")
    waits_for = serializers.CharField(help_text="What the run waits for.")


class GPUSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    memory_bytes = serializers.IntegerField()


class WorkerSerializer(serializers.ModelSerializer[TrainingWorker]):
    gpus = GPUSerializer(many=True)
    is_running = serializers.BooleanField(help_text="Whether the worker has reported recently.")

    class Meta:
        model = TrainingWorker
        fields = ["name", "gpus", "memory_bytes", "threads", "seen_at", "is_running"]
        read_only_fields = fields


class QueueSerializer(serializers.Serializer[TrainingQueue]):
    running = QueuedRunSerializer(many=True)
    waiting = WaitingRunSerializer(many=True)
    workers = WorkerSerializer(many=True)


class QueueView(APIView):
    @extend_schema(responses=QueueSerializer)
    def get(self, request: Request) -> Response:
        """Return the running and the waiting runs of all projects, and the training workers."""
        return Response(QueueSerializer(training_queue()).data)
