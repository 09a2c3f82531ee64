"""Rows that contain the same responses, with and without an order."""

from __future__ import annotations

import io
import json
from typing import Any

from annotation.content.importing.imports import import_file
from annotation.content.importing.report import ImportReport
from annotation.models import Project

SHOWN = {"prompt": "Best pet?", "responses": [{"text": "Cat", "model": "m1"}, {"text": "Dog", "model": "m2"}]}


def rated(annotator: str = "kim", **changes: Any) -> dict[str, Any]:
    return {**SHOWN, "annotator": annotator, "ratings": {"0": {"help": 4}, "1": {"help": 2}}, **changes}


def ordered(annotator: str = "kim", best: int = 0, **changes: Any) -> dict[str, Any]:
    return {**SHOWN, "annotator": annotator, "tiers": [[best], [1 - best]], **changes}


def take(project: Project, *rows: dict[str, Any], **options: Any) -> ImportReport:
    data = io.BytesIO("\n".join(map(json.dumps, rows)).encode())
    report = import_file(project=project, file=data, **options)
    assert not report.failed, report.errors
    return report
