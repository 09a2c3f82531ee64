"""The demo project: responses to rank, models to train, and users to log in as. Creating the project is
idempotent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from annotation.accounts.members import add_member
from annotation.accounts.users import create_user
from annotation.content.adding import add_prompts
from annotation.models import Project, Prompt, User
from annotation.models.project import Role
from annotation.projects.projects import create_project
from storage import durable
from training import demo_world
from training.loop.turning import set_loop
from training.models import Loop, ModelVersion, TrainingRun
from training.runs.launch import launch_run
from training.runs.watch import follow_run, worker_listens

SLUG = "demo"
PROMPTS = 2400  # a tenth is held out; with 240 held-out prompts, a gate can tell the policies apart
PROMPT_SEED = 1
# Number of tasks whose rankings are enough to train a reward model that can improve a policy.
TASKS = 600
LOGINS_FILE = "demo-logins.txt"
GUIDELINES = """\
You see a customer's question and several replies. Put the best reply first.

1. It **answers the question** that was asked, with the right names, dates and order numbers.
2. It is **polite**.
3. It is **short**: no repetition, nothing off topic.

Replies that are equally good belong in one tier.
"""
# None stands for a site admin without a membership in the project.
PEOPLE: dict[str, Role | None] = {
    "admin": None,
    "manager": Role.MANAGER,
    "annotator-1": Role.ANNOTATOR,
    "annotator-2": Role.ANNOTATOR,
}
Tell = Callable[[str], None]


class DemoRunFailed(Exception):
    """Raised if a run that the demo depends on does not succeed."""


@dataclass(frozen=True)
class Demo:
    """The current state of the demo, and the passwords created by this call."""

    project: Project
    passwords: dict[str, str]
    logins: Path
    runs: list[TrainingRun]


def create_demo(*, tell: Tell, seed: int = 0) -> Demo:
    """Create the missing parts of the demo: project, prompts, users, a first policy, first tasks, a first
    evaluation and a training loop that is off.

    The demo's runs go through the queue like all other runs. If no worker is running, this process supervises
    the runs. Another `seed` gives other prompts and another first policy. Raises DemoRunFailed.
    """
    project = Project.objects.filter(slug=SLUG).first()
    if project is None:
        project = create_project(slug=SLUG, name="Customer support (demo)", guidelines=GUIDELINES)
        tell(f"Project {SLUG} created.")
    if not Prompt.objects.filter(project=project).exists():
        drawn = demo_world.prompts(PROMPTS, PROMPT_SEED + seed)
        counts = add_prompts(project=project, prompts=[(messages, {}) for messages in drawn])
        tell(f"{counts.prompts} prompts added.")
    # If the passwords can't be stored, the users are not created either, because nobody could log in as them.
    with transaction.atomic():
        passwords = _people(project)
        logins = _keep_logins(passwords)
    runs = [_run_once(project, kind, {**recipe, "seed": seed}, tell) for kind, recipe in RUNS.items()]
    if not Loop.objects.filter(project=project).exists():
        set_loop(project=project, settings=LOOP, enabled=False)
        tell("The training loop is set up but turned off.")
    return Demo(project, passwords, logins, runs)


RUNS: Mapping[str, Mapping[str, object]] = {
    TrainingRun.Kind.SFT: {},
    TrainingRun.Kind.SAMPLE: {"max_prompts": TASKS},
    TrainingRun.Kind.EVALUATE: {},
}


# Trained on 360 and 830 comparisons, the first reward models failed their gate. A model trained on 2,700
# passed. A task gives up to six comparisons, and fewer if responses are equal or tied. PPO's KL target keeps
# the policy close to the policy from which it starts.
LOOP: Mapping[str, object] = {
    "min_new_comparisons": 1500,
    "improve_with": ["ppo"],
    "recipes": {
        TrainingRun.Kind.PPO: {"kl_target": 1.0},
        TrainingRun.Kind.SAMPLE: {"max_prompts": 400},
    },
    "gate_prompts": 240,
    "gate_rankings": 240,
}


def _people(project: Project) -> dict[str, str]:
    passwords = {}
    for name, role in PEOPLE.items():
        user = User.objects.filter(username=name).first()
        if user is None:
            user, passwords[name] = create_user(username=name, is_admin=role is None)
        if role is not None and not project.memberships.filter(user=user).exists():
            add_member(project=project, user=user, role=role)
    return passwords


def _keep_logins(passwords: Mapping[str, str]) -> Path:
    """Add new passwords to a file that only its owner can read. This file is the only place where the
    passwords are stored in plain text."""
    path: Path = settings.STATE / LOGINS_FILE
    if passwords:
        durable.make_folders(path.parent)
        earlier = path.read_text(encoding="utf-8") if path.exists() else ""
        new = "".join(f"{name} {password}\n" for name, password in passwords.items())
        durable.write_text(path, earlier + new, mode=0o600)
    return path


def _run_once(project: Project, kind: str, recipe: Mapping[str, object], tell: Tell) -> TrainingRun:
    """Return the project's first successful run of this kind. If no run of this kind has succeeded, wait for
    an active run or launch a new run."""
    runs = TrainingRun.objects.filter(project=project, kind=kind).order_by("created_at")
    done = runs.filter(state=TrainingRun.State.SUCCEEDED).first()
    if done is not None:
        return done
    run = runs.filter(state__in=[TrainingRun.State.QUEUED, TrainingRun.State.RUNNING]).first()
    if run is None:
        inputs = _first_policy(project) if kind != TrainingRun.Kind.SFT else {}
        run = launch_run(project=project, kind=kind, recipe=recipe, inputs=inputs, user=None)
    for line in follow_run(run=run, here=not worker_listens()):
        tell(line)
    if run.state != TrainingRun.State.SUCCEEDED:
        error = run.error or {"title": f"it was {run.state}", "detail": ""}
        raise DemoRunFailed(f"The demo's {kind} run did not succeed: {error['title']}. {error['detail']}")
    return run


def _first_policy(project: Project) -> dict[str, str]:
    oldest = ModelVersion.objects.filter(project=project, kind=ModelVersion.Kind.POLICY).order_by(
        "created_at"
    )
    return {"policy": oldest[0].name}
