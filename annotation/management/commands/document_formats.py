from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.management.reporting import QuickCommand
from preferences.formats.document import document

PAGE = Path(settings.BASE_DIR) / "docs" / "formats.md"


class Command(QuickCommand):
    help = "Write docs/formats.md from the catalog of formats."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, default=PAGE, metavar="PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        options["out"].write_text(document())
        self.stdout.write(f"Wrote {options['out']}.")
