from __future__ import annotations

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Length

from annotation.ids import uuid7
from annotation.models.project import Project


class Split(models.TextChoices):
    TRAIN = "train"
    HELDOUT = "heldout"


class Prompt(models.Model):
    """A conversation up to the point where the model responds."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="prompts", db_index=False)
    messages = models.JSONField(help_text="[{role, content}], oldest first.")
    content_hash = models.CharField(max_length=64)
    metadata = models.JSONField(default=dict)
    split = models.CharField(max_length=10, choices=Split.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # The constraint's index also serves the import's lookup of known prompts.
            models.UniqueConstraint(fields=["project", "content_hash"], name="prompt_once_per_project"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Response(models.Model):
    """A candidate answer. `model_name` is the only link to the model that wrote the response."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="responses", db_index=False)
    text = models.TextField(blank=True)
    characters = models.GeneratedField(
        expression=Length("text"),
        output_field=models.PositiveIntegerField(),
        db_persist=True,
        help_text="Length of the text, stored so that length-bias reports need not decompress each text.",
    )
    model_name = models.CharField(max_length=200, blank=True)
    sampling = models.JSONField(default=dict)
    metadata = models.JSONField(
        default=dict,
        db_default=Value({}, models.JSONField()),
        help_text="Other fields of an imported file: the ID in the file, the language, …",
    )
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the text and the model's name.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # The constraint's index also finds all responses to a prompt. The foreign key therefore needs no
            # separate index.
            models.UniqueConstraint(fields=["prompt", "content_hash"], name="response_once_per_prompt"),
        ]
        indexes = [
            # This index serves the manager's list of tasks with a response by a given model.
            models.Index(
                fields=["model_name", "prompt"], condition=~Q(model_name=""), name="response_of_model"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
