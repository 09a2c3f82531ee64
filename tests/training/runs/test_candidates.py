"""A rejection sampling run's candidates can be downloaded, and ranking tasks can be created from them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.content.adding import add_prompts
from annotation.models import Project, RankingTask, User
from tests.training.conftest import ModelMaker, RunMaker
from tests.training.rlhf.small_world import arbitrary_reward_model, short_speaker
from training import demo_world
from training.models import ModelVersion, RunEvent, TrainingRun
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.data.candidates import Candidate
from training.rlhf.models.loading.saving import save_model
from training.runs import transitions
from training.runs.candidates import CANDIDATES, finished_file, keep_candidates, spread_answers
from training.runs.launch import launch_run
from training.runs.process.exit_codes import EXIT_CANCELLED, EXIT_DONE
from training.runs.process.main import run_attempt

pytestmark = pytest.mark.django_db
Clients = Callable[[User | None], APIClient]


def candidate(text: str, score: float | None, *, finished: bool = True) -> Candidate:
    return {
        "text": text,
        "ids": [5, 1],
        "finished": finished,
        "score": score,
        "spread": 0.0,
        "rewards": {"lab-rm-1": score},
        "gold": None,
        "kept": None,
    }


def line(number: int, answers: list[Candidate], *, round: int = 1) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}?"}]
    return {"round": round, "prompt": number, "messages": messages, "prompt_ids": [7], "candidates": answers}


@pytest.fixture
def run(make_run: RunMaker) -> TrainingRun:
    """A run with answers to three prompts. All answers to the third prompt are the same."""
    run = make_run(
        kind="rejection_sampling",
        state="succeeded",
        finished_at=timezone.now(),
        recipe={"base_model": "", "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 8, "seed": 3},
        inputs={"policy": "lab-sft-1", "reward_model": "lab-rm-1"},
    )
    scored = [("a", 0.0), ("b", 1.0), ("c", 1.1), ("d", 2.0), ("e", 1.2), ("a", 0.0)]
    answers = [candidate(text, score) for text, score in scored]
    lines = [
        line(0, [*answers, candidate("truncated", 9.0, finished=False), candidate("unread", None)]),
        line(1, answers[:2]),
        line(2, [candidate("same", 1.0)] * 4),
        line(0, [candidate("later", 1.0), candidate("latest", 2.0)], round=2),
    ]
    made = run.folder / "attempt-1" / CANDIDATES
    made.parent.mkdir(parents=True)
    made.write_bytes(gzip.compress("".join(json.dumps(each) + "\n" for each in lines).encode(), mtime=0))
    run.result = {"candidates": keep_candidates(run, finished_file(made))}
    run.save(update_fields=["result"])
    return run


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def url(run: TrainingRun, rest: str = "") -> str:
    return f"/api/v1/runs/{run.pk}/candidates{rest}"


def test_download_has_the_name_and_size_and_digest_of_the_file(
    run: TrainingRun, mona: User, lab: Project, client_of: Clients
) -> None:
    add_member(project=lab, user=mona, role="manager")
    answer = client_of(mona).get(url(run))
    content = async_to_sync(whole)(answer.streaming_content)
    assert content == (run.folder / CANDIDATES).read_bytes()
    assert answer["Content-Type"] == "application/gzip"
    assert answer["Content-Disposition"] == f'attachment; filename="lab-{run.pk}-candidates.jsonl.gz"'
    assert int(answer["Content-Length"]) == len(content) == run.result["candidates"]["bytes"]
    assert answer["X-Checksum"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert answer["X-Checksum"] == f"sha256:{run.result['candidates']['sha256']}"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"kind": "ppo"}, "Only rejection sampling runs have candidates. This is a run of kind ppo."),
        ({}, "it has not succeeded. Its state is queued"),
        ({"state": "succeeded", "finished_at": timezone.now()}, "did not keep candidates"),
    ],
)
def test_download_from_a_run_without_candidates_returns_404_with_the_reason(
    columns: dict[str, Any], reason: str, make_run: RunMaker, ada: User, client_of: Clients
) -> None:
    run = make_run(**({"kind": "rejection_sampling"} | columns))
    for answer in (client_of(ada).get(url(run)), client_of(ada).post(url(run, "/tasks"))):
        assert (answer.status_code, answer.json()["type"]) == (404, "no-candidates")
        assert reason in answer.json()["detail"]


def test_missing_or_changed_file_is_refused(run: TrainingRun, ada: User, client_of: Clients) -> None:
    file = run.folder / CANDIDATES
    file.write_bytes(file.read_bytes() + b"\0")
    changed = client_of(ada).get(url(run))
    assert (changed.status_code, changed.json()["type"]) == (409, "file-changed")
    file.unlink()
    missing = client_of(ada).get(url(run))
    assert (missing.status_code, "Restore it from a backup" in missing.json()["detail"]) == (404, True)


def test_tasks_contain_answers_across_the_range_of_rewards_and_are_added_once(
    run: TrainingRun, ada: User, lab: Project, client_of: Clients
) -> None:
    asked = {"responses_per_task": 3, "overlap": 2, "priority": 5}
    first = client_of(ada).post(url(run, "/tasks"), asked, format="json")
    assert first.status_code == 201
    assert first.json() == {"tasks": 2, "unchanged": 0, "responses": 5, "refused": {}}
    by_prompt = {
        task.prompt.messages[0]["content"]: task for task in RankingTask.objects.select_related("prompt")
    }
    assert set(by_prompt) == {"Question 0?", "Question 1?"}
    task = by_prompt["Question 0?"]
    assert {one.text for one in task.responses.all()} == {"a", "b", "d"}  # rewards 0, 1 and 2
    assert {one.model_name for one in task.responses.all()} == {"lab-sft-1"}
    assert (task.overlap, task.priority, task.metadata) == (2, 5, {"candidates_of_run": str(run.pk)})

    again = client_of(ada).post(url(run, "/tasks"), asked, format="json")
    assert again.status_code == 200
    assert again.json() == {"tasks": 0, "unchanged": 2, "responses": 0, "refused": {}}
    assert lab.tasks.count() == 2


def test_reason_is_given_if_no_task_can_be_created(run: TrainingRun, ada: User, client_of: Clients) -> None:
    lines = [line(0, [candidate("only", 1.0)])]
    (run.folder / CANDIDATES).write_bytes(gzip.compress(json.dumps(lines[0]).encode(), mtime=0))
    run.result = {"candidates": keep_candidates(run, finished_file(run.folder / CANDIDATES))}
    run.save(update_fields=["result"])
    answer = client_of(ada).post(url(run, "/tasks"))
    assert (answer.status_code, "No prompt has two distinct finished answers" in answer.json()["detail"]) == (
        422,
        True,
    )


def test_selected_answers_include_the_best_and_worst_and_cover_the_range() -> None:
    answers = [candidate(str(n), score) for n, score in enumerate([0.0, 9.0, 10.0, 9.5, 4.9, 0.1, 9.9])]
    assert [one["score"] for one in spread_answers(answers, 3)] == [10.0, 4.9, 0.0]
    assert [one["score"] for one in spread_answers(answers, 2)] == [10.0, 0.0]
    assert len(spread_answers(answers, 10)) == 7
    assert [one["score"] for one in spread_answers(answers, 5)] == [10.0, 9.0, 4.9, 0.1, 0.0]


@pytest.fixture
def judged(ranked: ModelVersion, make_model: ModelMaker) -> ModelVersion:
    """The policy of `ranked`. Its answers vary in length. The project also has a random reward model."""
    judge = make_model(name="lab-rm-1", kind="reward_model", parent=ranked)
    save_model(*arbitrary_reward_model(), judge.folder)
    save_model(*short_speaker(), ranked.folder)
    return ranked


@pytest.mark.django_db(transaction=True)
def test_stopped_run_resumes_and_produces_the_same_candidates_and_weights(
    judged: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {
        **{"samples_per_prompt": 128, "max_new_tokens": 8, "sample_prompts": 1, "sample_tokens": 4},
        **{"batch_size": 2, "checkpoint_steps": 1, "max_prompts": 4},
    }

    def launched() -> TrainingRun:
        return launch_run(
            project=judged.project, kind="rejection_sampling", recipe=recipe, inputs={}, user=None
        )

    def attempted(run: TrainingRun) -> int:
        attempt = transitions.claim_run(run_id=run.pk, worker="test")
        assert attempt is not None
        code = run_attempt(run.pk, attempt)
        run.refresh_from_db()
        return code

    whole = launched()
    assert attempted(whole) == EXIT_DONE
    write = Checkpoints.save

    def stopped_after_writing(self: Checkpoints, step: int, *state: Any, **options: Any) -> bool:
        written = write(self, step, *state, **options)
        if step in {1, 4}:  # once during sampling and once during fine-tuning
            os.kill(os.getpid(), signal.SIGTERM)
        return written

    monkeypatch.setattr(Checkpoints, "save", stopped_after_writing)
    handler = signal.getsignal(signal.SIGTERM)
    run = launched()
    codes = [attempted(run)]
    # The run keeps the prompts of its first attempt.
    add_prompts(project=judged.project, prompts=[(each, {}) for each in demo_world.prompts(40, seed=9)])
    codes += [attempted(run) for _ in range(2)]
    signal.signal(signal.SIGTERM, handler)
    assert codes == [EXIT_CANCELLED, EXIT_CANCELLED, EXIT_DONE]
    assert run.result["candidates"] == whole.result["candidates"]
    models = [ModelVersion.objects.get(run=each).folder / "model.safetensors" for each in (whole, run)]
    assert models[0].read_bytes() == models[1].read_bytes()
    said = RunEvent.objects.said_of(run, RunEvent.Type.METRICS).values_list("step", "attempt")
    assert [step for step, _ in said] == list(range(1, run.result["counts"]["steps"] + 1))
    assert {attempt for _, attempt in said} == {1, 2, 3}
