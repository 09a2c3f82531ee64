from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotation.management.reporting import QuickCommand
from annotation.models import Project
from config.problems import Problem
from training.loop.settings import parse_settings
from training.loop.turning import set_loop
from training.management.commands.launch_run import pairs
from training.models import Loop


class Command(QuickCommand):
    help = "Create a project's training loop, change its settings, or turn it on or off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument(
            "--set",
            action="extend",
            nargs="+",
            default=[],
            metavar="KEY=VALUE",
            dest="chosen",
            help="settings such as min_new_comparisons=500, improve_with=ppo,dpo or recipes.ppo.steps=40; "
            "the value null makes a setting empty",
        )
        switch = parser.add_mutually_exclusive_group()
        switch.add_argument("--on", action="store_true", help="start rounds automatically")
        switch.add_argument("--off", action="store_true", help="start no further rounds")
        parser.add_argument("--json", action="store_true", help="print the loop as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["slug"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['slug']!r}.")
        enabled = True if options["on"] else False if options["off"] else None
        try:
            loop = set_loop(
                project=project, settings=_settings(project, pairs(options["chosen"])), enabled=enabled
            )
        except Problem as problem:
            raise CommandError(problem.detail) from None
        settings = parse_settings(loop.settings).model_dump(mode="json")
        if options["json"]:
            found = {"project": project.slug, "enabled": loop.enabled, "settings": settings}
            self.stdout.write(json.dumps(found))
            return
        self.stdout.write(f"The loop of {project.slug} is {'on' if loop.enabled else 'off'}.")
        for name, value in settings.items():
            self.stdout.write(f"  {name}: {json.dumps(value)}")


def _settings(project: Project, chosen: dict[str, str]) -> dict[str, Any]:
    """The typed settings. A key such as recipes.ppo.steps changes one recipe setting and keeps the others."""
    stored = Loop.objects.filter(project=project).values_list("settings", flat=True).first() or {}
    found: dict[str, Any] = {}
    for key, text in chosen.items():
        name, *path = key.split(".")
        if not path:
            found[name] = _value(name, text)
            continue
        tree = found.setdefault(name, json.loads(json.dumps(stored.get(name, {}))))
        for part in path[:-1]:
            tree = tree.setdefault(part, {})
        tree[path[-1]] = _plain(text)
    return found


LISTS = ("improve_with", "schedule_days", "gate_annotators")


def _value(name: str, text: str) -> Any:
    if name in LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text if name in ("schedule_time", "time_zone") else _plain(text)


def _plain(text: str) -> Any:
    """A JSON value, or the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text
