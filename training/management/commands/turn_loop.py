from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import CommandError

from annotation.database.outages import through_outages
from annotation.management.reporting import QuickCommand
from annotation.models import Project
from config.problems import Problem
from training.loop.rounds import advance_round
from training.loop.turning import turn_by_hand
from training.models import Loop, Round, RoundStep, TrainingRun
from training.runs.process.supervise import execute_run
from training.runs.watch import worker_listens

POLL_SECONDS = 1.0


class Command(QuickCommand):
    help = (
        "Start a round of a project's training loop now. With --wait, follow the round to its end; a policy "
        "gate with a human comparison waits for annotators."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument(
            "--rounds", type=int, default=1, help="number of rounds to run, one after another"
        )
        parser.add_argument("--wait", action="store_true", help="follow each round until it ends")
        parser.add_argument("--json", action="store_true", help="print the rounds as one JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        loop = Loop.objects.filter(project__slug=options["slug"]).select_related("project").first()
        if loop is None:
            if not Project.objects.filter(slug=options["slug"]).exists():
                raise CommandError(f"There is no project {options['slug']!r}.")
            raise CommandError(f"{options['slug']} has no loop. Create it with manage.py set_loop.")
        if options["rounds"] > 1 and not options["wait"]:
            raise CommandError("Only one round runs at a time: use --wait with --rounds.")
        rounds = [self._turn(loop, options) for _ in range(options["rounds"])]
        if options["json"]:
            self.stdout.write(json.dumps([_document(round) for round in rounds]))
        if any(round.state in (Round.State.FAILED, Round.State.CANCELLED) for round in rounds):
            raise CommandError("A round failed or was cancelled.")

    def _turn(self, loop: Loop, options: dict[str, Any]) -> Round:
        try:
            round = turn_by_hand(loop=loop, by=None)
        except Problem as problem:
            raise CommandError(problem.detail) from None
        here = options["wait"] and not worker_listens()
        said: set[str] = set()
        while True:
            if not options["json"]:
                for line in _lines(round):
                    if line not in said:
                        self.stdout.write(line)
                        said.add(line)
            if not options["wait"] or round.state != Round.State.RUNNING:
                return round
            if here and (run := _queued(round)) is not None:
                execute_run(run_id=run.pk)
            else:
                time.sleep(POLL_SECONDS)
            round = through_outages(partial(advance_round, round_id=round.pk))


def _queued(round: Round) -> TrainingRun | None:
    """The run that the round is waiting for, if no worker has claimed it."""
    runs = TrainingRun.objects.filter(round_step__round=round, state=TrainingRun.State.QUEUED)
    return runs.first()


def _lines(round: Round) -> list[str]:
    lines = [f"Round {round.number} started ({round.trigger}, {round.new_comparisons} new comparisons)."]
    for step in round.steps.all():
        if step.state != RoundStep.State.PENDING:
            name = f"{step.kind} {step.subject}".strip()
            lines.append(f"  {step.position}. {name}: {step.state}. {step.reason}".rstrip())
    if round.state != Round.State.RUNNING:
        lines.append(f"Round {round.number} {round.state}. {round.reason}".rstrip())
    return lines


def _document(round: Round) -> dict[str, Any]:
    steps = [
        {"kind": step.kind, "subject": step.subject, "state": step.state, "reason": step.reason}
        for step in round.steps.all()
    ]
    return {"number": round.number, "state": round.state, "reason": round.reason, "steps": steps}
