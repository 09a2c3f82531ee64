"""Fixtures for a project with runs. The users (ada, mona, alice, oscar, …) come from tests/conftest.py."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from annotation.accounts.members import add_member
from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.desk.answers import Answer
from annotation.desk.submission import submit_ranking
from annotation.models import Project, Sweep, User
from annotation.projects.projects import create_project
from tests.annotation.answering import claim_next
from training.models import ModelVersion, TrainingRun
from training.runs import interruptions

RunMaker = Callable[..., TrainingRun]
ModelMaker = Callable[..., ModelVersion]
Rank = Callable[..., None]


@pytest.fixture
def lab(db: None) -> Project:
    """An empty project. All artefacts on disk are deleted first."""
    shutil.rmtree(django_settings.ARTEFACTS, ignore_errors=True)
    return create_project(slug="lab", name="Lab")


@pytest.fixture
def make_run(lab: Project) -> RunMaker:
    """A factory for runs like those created by launch_run, but without validation. Keyword arguments override
    columns."""

    def make(**columns: Any) -> TrainingRun:
        columns = {"kind": "sft", "recipe": {}, "inputs": {}, "woken_at": timezone.now()} | columns
        return TrainingRun.objects.create(project=columns.pop("project", lab), **columns)

    return make


@pytest.fixture
def make_model(lab: Project) -> ModelMaker:
    """A factory for registered models whose folders contain no weights, only a config.json."""

    def make(
        *, name: str, kind: str = "policy", project: Project | None = None, **columns: Any
    ) -> ModelVersion:
        columns = {"base_model": "demo-world", "path": f"models/{name}"} | columns
        model = ModelVersion.objects.create(project=project or lab, name=name, kind=kind, **columns)
        model.folder.mkdir(parents=True, exist_ok=True)
        (model.folder / "config.json").write_text("{}")
        return model

    return make


@pytest.fixture
def rank() -> Rank:
    """rank(project, annotator, n=…): creates n tasks with two responses each. The annotator then ranks the
    responses of every task that they can claim. The first imported response is ranked best; with `tied`, all
    responses are ranked equal.

    Annotators see the responses in random order. If they submitted this order, about half of the rankings
    would contradict the other half, and the effect of training on these rankings would be unpredictable.
    """

    def rank_them(project: Project, annotator: User, *, n: int, tied: bool = False) -> None:
        add_member(project=project, user=annotator, role="annotator")
        drafts = [
            TaskDraft(
                messages=[{"role": "user", "content": f"Question {number}?"}],
                responses=[ResponseDraft("yes", "m"), ResponseDraft("no", "m")],
            )
            for number in range(n)
        ]
        add_ranking_tasks(project=project, items=drafts)
        while (assignment := claim_next(project=project, annotator=annotator)) is not None:
            order = list(
                assignment.task.responses.order_by("shown_in__position").values_list("pk", flat=True)
            )
            tiers = [order] if tied else [[response] for response in order]
            submit_ranking(
                assignment=assignment,
                token=assignment.token,
                answer=Answer(tiers=tiers, touched=True),
                idempotency_key=str(assignment.pk),
            )

    return rank_them


@pytest.fixture
def ranked(lab: Project, make_model: ModelMaker, rank: Rank, alice: User) -> ModelVersion:
    """An untrained policy in the project "lab". The project has twelve demo prompts with two ranked responses
    each."""
    from training import demo_world
    from training.rlhf.models.loading.saving import save_model

    policy = make_model(name="lab-sft-1")
    tokenizer = demo_world.build_tokenizer()
    save_model(demo_world.build_policy(tokenizer, 0, hidden=32, layers=1), tokenizer, policy.folder)
    drafts = [
        TaskDraft(messages, [ResponseDraft("Hello, thank you.", "m"), ResponseDraft("No.", "m")])
        for messages in demo_world.prompts(12, seed=3)
    ]
    add_ranking_tasks(project=lab, items=drafts)
    rank(lab, alice, n=0)
    return policy


def lose(run: TrainingRun) -> None:
    """Set the run's last heartbeat to one hour ago, and record that the sweep has run without a break for a
    day."""
    now = timezone.now()
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat_at=now - timedelta(hours=1))
    passes = {"passed_at": now, "unbroken_since": now - timedelta(days=1)}
    Sweep.objects.update_or_create(name=interruptions.SWEEP, defaults=passes)


def wait_until(happened: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.1)
