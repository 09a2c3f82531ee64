"""A round that waits for its blind comparison, in a stack's database. Its runs are not executed: the helpers
in `tests/training/loop/rounds.py` store their results.

`manage.py shell -c "from tests.browser.gated_round import create; create()"` creates the round.
"""

from __future__ import annotations

import random
from typing import Any

from django.db import transaction

from annotation.accounts.members import add_member
from annotation.content.adding import add_prompts, add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.desk.answers import Answer
from annotation.desk.submission import submit_ranking
from annotation.models import Project, User
from annotation.projects.projects import create_project
from tests.annotation.answering import claim_next
from tests.training.loop import rounds
from training import demo_world
from training.loop.turning import set_loop, turn_by_hand
from training.models import ModelVersion

SLUG, FIRST, NEW = "gated", "gated-sft-1", "gated-ppo-1"
PROMPTS = 20
BAD = "I don't know."


@transaction.atomic
def create() -> None:
    """Create the project, its loop and a round whose gate is open. Everything is committed at once, so the
    worker never sees the runs in the queue."""
    project = create_project(slug=SLUG, name="A gated round")
    annotator = User.objects.get(username="annotator-1")
    add_member(project=project, user=annotator, role="annotator")
    prompts = demo_world.prompts(PROMPTS, 77)
    add_prompts(project=project, prompts=[(messages, {}) for messages in prompts])
    _rank_once(project, annotator)

    def make_model(*, name: str, kind: str = "policy", **columns: Any) -> ModelVersion:
        columns = {"base_model": "demo-world", "path": f"models/{name}"} | columns
        model = ModelVersion.objects.create(project=project, name=name, kind=kind, **columns)
        model.folder.mkdir(parents=True, exist_ok=True)
        (model.folder / "config.json").write_text("{}")
        return model

    make_model(name=FIRST)
    settings = {"gate_prompts": PROMPTS, "gate_rankings": PROMPTS, "price_per_hour": 2.5}
    loop = set_loop(project=project, settings=settings)
    round = rounds.trained_reward_model(turn_by_hand(loop=loop, by=None), make_model, name="gated-rm-1")
    rng = random.Random(1)
    good = [demo_world.respond(demo_world.parse(messages), "good", rng) for messages in prompts]
    round = rounds.answered(round, [BAD] * PROMPTS, prompts=prompts)
    round = rounds.improved(round, make_model, name=NEW)
    rounds.answered(round, good, prompts=prompts, points=1.0)


def _rank_once(project: Project, annotator: User) -> None:
    """Rank one task, because a round needs comparisons."""
    responses = [ResponseDraft("yes", "m"), ResponseDraft("no", "m")]
    message = {"role": "user", "content": "Is this a question?"}
    add_ranking_tasks(project=project, items=[TaskDraft(messages=[message], responses=responses)])
    assignment = claim_next(project=project, annotator=annotator)
    assert assignment is not None
    tiers = [[one.pk] for one in assignment.task.responses.all()]
    submit_ranking(
        assignment=assignment,
        token=assignment.token,
        answer=Answer(tiers=tiers, touched=True),
        idempotency_key=str(assignment.pk),
    )
