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
    model = serializers.FloatField(help_text="Bytes of what the run leaves.")
    checkpoints = serializers.FloatField(help_text="Bytes at most, which go when the run has ended.")


class RunEstimateSerializer(serializers.Serializer[Any]):
    seconds = RangeSerializer()
    memory = RangeSerializer(help_text="Bytes on the device, at the run's peak.")
    parts = PartSerializer(many=True, help_text="What the expected peak is made of.")
    fits = serializers.BooleanField(allow_null=True, help_text="null: it may just fit.")
    disk = DiskSerializer()
    machine = MachineSerializer()
    machine_known = serializers.BooleanField(help_text="A run has recorded it; else it is this server's.")
    model = serializers.CharField(help_text="The base model.")
    weights = serializers.IntegerField()
    runs = serializers.IntegerField(help_text="Earlier runs that the time was scaled from.")
    time_basis = serializers.CharField()
    memory_basis = serializers.CharField()


class RefusedSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class ToldSerializer(serializers.Serializer[Any]):
    estimate = RunEstimateSerializer(allow_null=True)
    refused = RefusedSerializer(many=True)
