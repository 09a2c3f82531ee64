from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class SiteKey(models.Model):
    """A random key that must stay the same when SECRET_KEY changes. It is stored encrypted."""

    class Name(models.TextChoices):
        PSEUDONYMS = "pseudonyms"

    name = models.CharField(primary_key=True, max_length=40, choices=Name.choices)
    encrypted = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name
