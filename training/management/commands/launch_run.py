from __future__ import annotations

import json
import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotation.management.reporting import QuickCommand
from annotation.models import Project
from config.problems import Problem
from training.models import TrainingRun
from training.runs.api.serializers import run_document
from training.runs.failures import explain
from training.runs.launch import launch_run
from training.runs.recipes.catalog import KINDS
from training.runs.watch import follow_run, worker_listens


class Command(QuickCommand):
    help = (
        "Launch a training run. With --wait, follow the run to its end and exit with an error unless it "
        "succeeds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=[str(kind) for kind in KINDS])
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "--preset",
            default="default",
            metavar="NAME",
            help="quick, default, thorough or another preset in docs/recipes.md; --recipe and --set override "
            "the preset",
        )
        parser.add_argument(
            "--set",
            action="extend",
            nargs="+",
            default=[],
            metavar="KEY=VALUE",
            dest="chosen",
            help="recipe settings, such as base_model=Qwen/Qwen3-0.6B; the value null makes a setting empty",
        )
        parser.add_argument(
            "--input",
            action="extend",
            nargs="+",
            default=[],
            metavar="NAME=VALUE",
            dest="inputs",
            help="inputs (policy, reward_model, snapshot), given by name or ID",
        )
        parser.add_argument("--recipe", type=Path, metavar="FILE", help="settings from a .json or .toml file")
        parser.add_argument(
            "--force",
            action="store_true",
            help="launch the run even if, according to the estimate, no running worker has enough memory "
            "for it",
        )
        parser.add_argument("--wait", action="store_true", help="follow the run until it ends")
        parser.add_argument("--json", action="store_true", help="print the run as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        recipe = read_recipe(options["recipe"]) if options["recipe"] else {}
        recipe |= {
            name: None if value == "null" else value for name, value in pairs(options["chosen"]).items()
        }
        try:
            run = launch_run(
                project=project,
                kind=options["kind"],
                recipe=recipe,
                inputs=pairs(options["inputs"]),
                preset=options["preset"],
                user=None,
                force=options["force"],
            )
        except Problem as problem:
            raise CommandError(problem.detail) from None
        if options["wait"]:
            here = not worker_listens()
            for line in follow_run(run=run, here=here):
                if not options["json"]:
                    self.stdout.write(line)
        elif not options["json"] and not worker_listens():
            self.stdout.write(
                "No training worker is running. The run stays in the queue until a worker starts."
            )
        self.stdout.write(json.dumps(run_document(run.pk), default=str) if options["json"] else summary(run))
        if run.state in {TrainingRun.State.FAILED, TrainingRun.State.CANCELLED}:
            raise CommandError(f"The run {run.state}.")


def read_recipe(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        settings = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise CommandError(f"The recipe {path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise CommandError(f"The recipe {path} is not valid {path.suffix or 'JSON'}: {error}") from None
    if not isinstance(settings, dict):
        raise CommandError(f"The recipe {path} must contain a single object of settings.")
    return settings


def pairs(given: list[str]) -> dict[str, str]:
    """Parse NAME=VALUE pairs. Raises CommandError if an argument does not have this form."""
    for pair in given:
        if not pair.partition("=")[0] or "=" not in pair:
            raise CommandError(f"{pair!r} does not have the form NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in given)}


def summary(run: TrainingRun) -> str:
    """Summarise the run's result in a few lines."""
    lines = [f"Run {run.id} ({run.kind}) {run.state}."]
    lines += [f"  {name}: {value}" for name, value in run.inputs.items()]
    if run.error and (failure := explain(run)) is not None:
        lines += [f"  {failure.title}. {failure.cause}", f"  {failure.detail}", f"  {failure.fix}"]
    if "model" in run.result:
        lines.append(f"  made {run.result['model']['name']}")
    counts = {**run.result.get("counts", {}), **run.result.get("metrics", {})}
    lines += [f"  {name} {value:.4g}" for name, value in counts.items()]
    return "\n".join(lines)
