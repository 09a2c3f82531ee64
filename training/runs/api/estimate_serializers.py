"""The JSON form of an estimate: how long a run would take, and how much memory and disk."""

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
    model = serializers.FloatField(help_text="Bytes of the model that the run produces.")
    checkpoints = serializers.FloatField(
        help_text="Maximum bytes of its checkpoints, which are deleted when the run ends."
    )


class RunEstimateSerializer(serializers.Serializer[Any]):
    seconds = RangeSerializer()
    memory = RangeSerializer(help_text="Peak bytes on the device.")
    parts = PartSerializer(many=True, help_text="The parts of the expected peak.")
    fits = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the run fits in memory; null: the estimated range includes the limit.",
    )
    disk = DiskSerializer()
    machine = MachineSerializer()
    machine_known = serializers.BooleanField(
        help_text="true: the machine of an earlier run; false: the machine of this server."
    )
    model = serializers.CharField(help_text="The base model.")
    weights = serializers.IntegerField()
    runs = serializers.IntegerField(help_text="Number of earlier runs that the time was scaled from.")
    time_basis = serializers.CharField()
    memory_basis = serializers.CharField()


class RefusedSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class ToldSerializer(serializers.Serializer[Any]):
    estimate = RunEstimateSerializer(allow_null=True)
    refused = RefusedSerializer(many=True)
