from __future__ import annotations

import json
import math
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotation.accounts.members import add_member
from annotation.accounts.tokens import create_token, revoke_token
from annotation.accounts.users import create_user
from annotation.management.reporting import QuickCommand
from annotation.models import ApiToken, Project, User
from annotation.models.project import Role
from training.demo_world import UnknownPrompt
from training.simulation.annotators import JUDGES, ApiError, annotate
from training.simulation.webserver import reachable_web

TOKEN_NAME = "simulate_annotators"
TELL_EVERY = 100  # number of rankings between progress messages


class Command(QuickCommand):
    help = "Let simulated annotators rank the open tasks through the HTTP API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--annotators", type=int, default=3, metavar="N")
        parser.add_argument(
            "--judge",
            choices=sorted(JUDGES),
            default="gold",
            help="gold: the demo world's preference function; length: longer responses are better",
        )
        parser.add_argument(
            "--noise", type=float, default=0.0, metavar="P", help="share of rankings whose order is random"
        )
        parser.add_argument("--limit", type=int, metavar="N", help="stop after N rankings in total")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--url",
            help="address of the web server; default: the running server, or a new server if none is running",
        )
        parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        if options["annotators"] < 1 or not 0 <= options["noise"] <= 1:
            raise CommandError("--annotators must be at least 1, and --noise must be from 0 to 1.")
        names = [f"sim-{number}" for number in range(1, options["annotators"] + 1)]
        issued = {name: issue_token(project, name) for name in names}

        def told(done: int) -> None:
            if done % TELL_EVERY == 0 and not options["json"]:
                self.stdout.write(f"{done} rankings …")

        try:
            with reachable_web(options["url"]) as url:
                tally = annotate(
                    url=url,
                    project=project.slug,
                    tokens={name: text for name, (_, text) in issued.items()},
                    judge=JUDGES[options["judge"]],
                    noise=options["noise"],
                    limit=options["limit"],
                    seed=options["seed"],
                    told=told,
                )
        except UnknownPrompt as error:
            raise CommandError(f"The gold judge can't rank in this project: {error}.") from None
        except ApiError as error:
            raise CommandError(str(error)) from None
        finally:
            for token, _ in issued.values():
                revoke_token(token=token)
        done = {
            "project": project.slug,
            "url": url,
            "rankings": tally.rankings,
            "refused": tally.refused,
            "comparisons": project.comparisons.count(),
            "annotators": tally.by_annotator,
            "stopped": tally.stopped,
            "seconds": round(tally.seconds, 2),
        }
        rate = tally.rankings / tally.seconds if tally.seconds else math.nan
        sentences = [
            f"{tally.rankings} rankings by {len(names)} annotators in {tally.seconds:.1f} s ({rate:.0f}/s).",
            f"The project now has {done['comparisons']} comparisons.",
        ]
        if tally.refused:
            sentences.insert(
                1, f"{tally.refused} rankings were refused because their tasks' leases had expired."
            )
        sentences += [
            f"{name} was assigned no more tasks: {why}" for name, why in sorted(tally.stopped.items())
        ]
        self.stdout.write(json.dumps(done) if options["json"] else " ".join(sentences))


def issue_token(project: Project, name: str) -> tuple[ApiToken, str]:
    """Create an API token for a user who can rank in the project. The user and the membership are created if
    they don't exist yet."""
    user = User.objects.filter(username=name).first() or create_user(username=name)[0]
    if not project.memberships.filter(user=user).exists():
        add_member(project=project, user=user, role=Role.ANNOTATOR)
    return create_token(user=user, name=TOKEN_NAME)
