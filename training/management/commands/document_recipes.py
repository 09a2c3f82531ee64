from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from annotation.management.reporting import QuickCommand
from training.runs.recipes.document import document

PAGE = Path(settings.BASE_DIR) / "docs" / "recipes.md"


class Command(QuickCommand):
    help = "Generate docs/recipes.md from the recipes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, default=PAGE, metavar="PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        options["out"].write_text(document())
        self.stdout.write(f"Wrote {options['out']}.")
