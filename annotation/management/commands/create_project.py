from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.forms.presets import DEFAULT_PRESET, PRESETS
from annotation.management.reporting import ReportingCommand
from annotation.projects.projects import create_project


class Command(ReportingCommand):
    help = "Create an annotation project; the preset determines the answer form."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("--preset", default=DEFAULT_PRESET, metavar="NAME", help=", ".join(PRESETS))
        parser.add_argument("--overlap", type=int, default=1, help="rankings per task (default: 1)")
        parser.add_argument("--name", default="", help="the displayed name (default: the slug)")
        parser.add_argument("--guidelines", default="", help="guidelines for annotators, in Markdown")

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        wanted = ("slug", "preset", "overlap", "name", "guidelines")
        project = create_project(**{key: options[key] for key in wanted})
        line = f"Created project {project.slug} (preset {project.preset}, overlap {project.overlap})."
        document = {
            "id": project.pk,
            "slug": project.slug,
            "name": project.name,
            "preset": project.preset,
            "overlap": project.overlap,
        }
        return [line], document
