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


class StageSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    bytes = serializers.FloatField()
    parts = PartSerializer(many=True)
    host_bytes = serializers.FloatField(
        help_text="Main memory that the stage needs on a machine with GPUs, in bytes."
    )


class MachineSerializer(serializers.Serializer[Any]):
    device = serializers.ChoiceField(choices=["cpu", "cuda"])
    name = serializers.CharField(allow_blank=True)
    memory_bytes = serializers.IntegerField(
        help_text="Memory of one GPU or, on a machine without GPUs, main memory, in bytes. 0 if unknown."
    )
    threads = serializers.IntegerField()
    host_memory_bytes = serializers.IntegerField()
    gpus = serializers.IntegerField()
    worker = serializers.CharField(allow_blank=True)
    basis = serializers.ChoiceField(
        choices=["worker", "worker_gone", "earlier_run", "server"],
        help_text="Source of this information. worker: a running worker has reported the machine. "
        "worker_gone: the last worker reported the machine but is no longer running. earlier_run: an earlier "
        "run used the machine. server: no worker has reported, so the web server's machine is assumed.",
    )


class DiskSerializer(serializers.Serializer[Any]):
    model = serializers.FloatField(help_text="Size in bytes of the model that the run produces.")
    checkpoints = serializers.FloatField(
        help_text="Maximum size in bytes of the checkpoints, which are deleted when the run succeeds."
    )


class RunEstimateSerializer(serializers.Serializer[Any]):
    seconds = RangeSerializer()
    memory = RangeSerializer(help_text="Peak device memory in bytes.")
    host_memory = RangeSerializer(allow_null=True, help_text="Peak main memory of a run on GPUs, in bytes.")
    stages = StageSerializer(many=True, help_text="The stages of the run, with the parts of their memory.")
    peak_stage = serializers.CharField(help_text="The stage that needs the most memory.")
    fits = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the run fits in memory. Null if the machine's memory is unknown or within the "
        "estimated range, or if only some of the running workers have enough.",
    )
    fitting = serializers.DictField(
        allow_null=True,
        help_text="If the run does not fit: settings that would make it fit. Null if the run fits or if no "
        "such settings were found.",
    )
    disk = DiskSerializer()
    machine = MachineSerializer()
    workers = serializers.IntegerField(
        help_text="Number of running workers that could execute the run. 0 if none is running."
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
