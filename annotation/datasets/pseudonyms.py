"""Pseudonyms of annotators in snapshots."""

from __future__ import annotations

import re
from uuid import UUID

from django.utils.crypto import salted_hmac

from annotation.models import Project

PSEUDONYM_CHARACTERS = 12
PSEUDONYM = re.compile(rf"annotator-[0-9a-f]{{{PSEUDONYM_CHARACTERS}}}")


def pseudonym(project: Project, *, annotator_id: UUID | None, label: str) -> str:
    """An anonymous name for an annotator, the same in every snapshot of the project.

    Imported labels are short and could be guessed from a plain hash. The name is therefore a hash keyed with
    SECRET_KEY. A label from an imported snapshot that is already a pseudonym is kept, so that annotators stay
    distinguishable.
    """
    if annotator_id is None and (not label or PSEUDONYM.fullmatch(label)):
        return label
    who = f"user:{annotator_id}" if annotator_id else f"label:{label}"
    digest = salted_hmac("rankloop.annotator", f"{project.pk}:{who}", algorithm="sha256").hexdigest()
    return f"annotator-{digest[:PSEUDONYM_CHARACTERS]}"


def people_behind(project: Project) -> dict[str, str]:
    """Maps pseudonyms to usernames or imported labels, for every annotator with a ranking in the project."""
    answered = project.rankings.order_by().values_list(
        "annotator_id", "annotator__username", "annotator_label"
    )
    return {
        pseudonym(project, annotator_id=id, label=label): username or label
        for id, username, label in answered.distinct()
    }
