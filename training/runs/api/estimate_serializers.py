"""The JSON form of an estimate: how much time, memory and disk space a run would need."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class RangeSerializer(serializers.Serializer[Any]):
    low = serializers.FloatField()
    expected = serializers.FloatField()
    high = serializers.FloatField()


class PartSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    bytes = serializers.FloatField()


class MachineSerializer(serializers.Serializer[Any]):
    device = serializers.ChoiceField(choices=["cpu", "cuda"])
    name = serializers.CharField(allow_blank=True)
    memory_bytes = serializers.IntegerField()
    threads = serializers.IntegerField()


class DiskSerializer(serializers.Serializer[Any]):
    model = serializers.FloatField(help_text="Size in bytes of the model that the run produces.")
    checkpoints = serializers.FloatField(
        help_text="Maximum size in bytes of the checkpoints, which are deleted when the run ends."
    )


class RunEstimateSerializer(serializers.Serializer[Any]):
    seconds = RangeSerializer()
    memory = RangeSerializer(help_text="Peak device memory in bytes.")
    parts = PartSerializer(many=True, help_text="The parts of the expected peak memory.")
    fits = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the run fits in memory; null if the estimated range includes the limit.",
    )
    disk = DiskSerializer()
    machine = MachineSerializer()
    machine_known = serializers.BooleanField(
        help_text="true: the machine that an earlier run used; false: this server's machine."
    )
    model = serializers.CharField(help_text="The base model.")
    weights = serializers.IntegerField()
    runs = serializers.IntegerField(help_text="Number of earlier runs used to scale the time.")
    time_basis = serializers.CharField()
    memory_basis = serializers.CharField()


class RefusedSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class ToldSerializer(serializers.Serializer[Any]):
    estimate = RunEstimateSerializer(allow_null=True)
    refused = RefusedSerializer(many=True)
