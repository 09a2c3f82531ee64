"""Pseudonyms of annotators in snapshots."""

from __future__ import annotations

import base64
import hmac
import logging
import re
import secrets
from functools import cached_property
from http import HTTPStatus
from uuid import UUID

from annotation.models import Project, SiteKey
from config import keys
from config.keys import Unreadable, Use
from config.problems import Conflict, Problem

log = logging.getLogger(__name__)

PSEUDONYM_CHARACTERS = 12
PSEUDONYM = re.compile(rf"annotator-[0-9a-f]{{{PSEUDONYM_CHARACTERS}}}")
KEY_BYTES = 32


class Pseudonyms:
    """Pseudonyms for a project's annotators. An annotator has the same pseudonym in every snapshot of the
    project.

    Imported labels are short and could be guessed from a plain hash, so pseudonyms are keyed hashes. The key
    is random and stored encrypted, so pseudonyms survive a change of SECRET_KEY.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def of(self, *, annotator_id: UUID | None, label: str) -> str:
        """The annotator's pseudonym. A label from an imported snapshot is already a pseudonym. Such a label
        is kept, so that annotators stay distinguishable. Raises Problem if the key is unreadable."""
        if annotator_id is None and (not label or PSEUDONYM.fullmatch(label)):
            return label
        who = f"user:{annotator_id}" if annotator_id else f"label:{label}"
        digest = hmac.digest(self._key, f"{self._project.pk}:{who}".encode(), "sha256").hex()
        return f"annotator-{digest[:PSEUDONYM_CHARACTERS]}"

    @cached_property
    def _key(self) -> bytes:
        row, _ = SiteKey.objects.get_or_create(
            name=SiteKey.Name.PSEUDONYMS, defaults={"encrypted": _new_encrypted_key()}
        )
        try:
            return base64.b64decode(keys.decrypt(Use.SITE_KEY, row.encrypted))
        except Unreadable:
            raise _unreadable() from None


def people_behind(project: Project) -> dict[str, str]:
    """Maps the pseudonym of each annotator with a ranking in the project to the annotator's username or
    imported label. Empty if the pseudonym key is unreadable."""
    names = Pseudonyms(project)
    answered = project.rankings.order_by().values_list(
        "annotator_id", "annotator__username", "annotator_label"
    )
    try:
        return {
            names.of(annotator_id=id, label=label): username or label
            for id, username, label in answered.distinct()
        }
    except Problem as problem:
        log.error(problem.detail)
        return {}


def replace_pseudonym_key() -> None:
    """Replaces an unreadable key. Annotators get new pseudonyms in new snapshots; existing snapshots do not
    change. Raises Conflict if the key is readable."""
    row = SiteKey.objects.filter(name=SiteKey.Name.PSEUDONYMS).first()
    if row is not None and _is_readable(row):
        raise Conflict("The pseudonym key can be read, so it is not replaced.", type="pseudonym-key-readable")
    SiteKey.objects.update_or_create(
        name=SiteKey.Name.PSEUDONYMS, defaults={"encrypted": _new_encrypted_key()}
    )


def _is_readable(row: SiteKey) -> bool:
    try:
        keys.decrypt(Use.SITE_KEY, row.encrypted)
    except Unreadable:
        return False
    return True


def _new_encrypted_key() -> str:
    return keys.encrypt(Use.SITE_KEY, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())


def _unreadable() -> Problem:
    return Problem(
        "The pseudonym key can't be read with the site's SECRET_KEY. Ask an administrator"
        " to add the previous key to SECRET_KEY_FALLBACKS, or to run `manage.py reencrypt_secrets"
        " --new-pseudonyms`. With new pseudonyms, annotators can't be matched between old and new snapshots.",
        status=HTTPStatus.CONFLICT,
        type="pseudonym-key-unreadable",
    )
