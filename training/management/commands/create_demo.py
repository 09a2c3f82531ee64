from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotation.management.reporting import QuickCommand
from training.simulation.demo import DemoRunFailed, create_demo


class Command(QuickCommand):
    help = "Create the demo project with users, a first policy and responses to rank. Idempotent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--seed", type=int, default=0, help="seed of the demo's prompts and of its first runs"
        )
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        def tell(line: str) -> None:
            if not options["json"]:
                self.stdout.write(line)

        try:
            demo = create_demo(tell=tell, seed=options["seed"])
        except DemoRunFailed as error:
            raise CommandError(str(error)) from None
        counts = {
            "project": demo.project.slug,
            "prompts": demo.project.prompts.count(),
            "tasks": demo.project.tasks.count(),
            "models": list(demo.project.model_versions.order_by("created_at").values_list("name", flat=True)),
            "new_users": sorted(demo.passwords),
            "logins": str(demo.logins),
        }
        if options["json"]:
            self.stdout.write(json.dumps(counts))
            return
        self.stdout.write(f"The demo has {counts['prompts']} prompts and {counts['tasks']} tasks to rank.")
        for name, password in demo.passwords.items():
            self.stdout.write(f"  {name:<12} {password}")
        self.stdout.write(f"The logins are stored in {demo.logins}.")
