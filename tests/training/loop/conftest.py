from __future__ import annotations

import pytest

from annotation.content.adding import add_prompts
from annotation.models import Project, User
from tests.training.conftest import ModelMaker, Rank
from training.loop.turning import set_loop
from training.models import Loop


@pytest.fixture
def loop(lab: Project, make_model: ModelMaker) -> Loop:
    """The loop of a project with a policy and with held-out prompts. A round starts once there
    are three new comparisons."""
    make_model(name="lab-sft-1")
    prompts = [([{"role": "user", "content": f"Another question {n}?"}], {}) for n in range(30)]
    add_prompts(project=lab, prompts=prompts)
    return set_loop(project=lab, settings={"min_new_comparisons": 3}, enabled=True)


@pytest.fixture
def ranked_loop(loop: Loop, alice: User, rank: Rank) -> Loop:
    rank(loop.project, alice, n=3)
    return loop
