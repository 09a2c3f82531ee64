"""A completed run registers its model or adds its tasks exactly once, and only for its newest attempt."""

from __future__ import annotations

import math
import threading

import pytest

from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.models import Project, RankingTask
from tests.training.conftest import ModelMaker, RunMaker
from training.models import ModelVersion, TrainingRun
from training.runs import complete, transitions
from training.runs.complete import NewModel, NewTasks, Outcome, complete_run
from training.runs.progress.events import LostClaim, storable

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def policy(make_model: ModelMaker) -> ModelVersion:
    return make_model(name="lab-sft-1")


def test_stale_attempt_does_not_register_a_model_or_add_tasks(
    policy: ModelVersion, make_run: RunMaker
) -> None:
    run = make_run(project=policy.project)
    first = transitions.claim_run(run_id=run.pk, worker="w")
    TrainingRun.objects.filter(pk=run.pk).update(attempt=2)
    assert first is not None
    folder = run.folder / "made"
    folder.mkdir(parents=True)
    outcome = Outcome(model=NewModel("policy", folder, "demo-world", policy))
    with pytest.raises(LostClaim):
        complete_run(run=run, attempt=first, outcome=outcome)
    assert ModelVersion.objects.get() == policy
    assert folder.is_dir()


def test_metrics_that_are_not_finite_are_left_out_of_the_result_and_the_model(
    policy: ModelVersion, make_run: RunMaker
) -> None:
    """JSON can't represent NaN or infinity, so a run with such a metric would otherwise fail at its end."""
    run = make_run(project=policy.project)
    attempt = transitions.claim_run(run_id=run.pk, worker="w")
    assert attempt is not None
    folder = run.folder / "made"
    folder.mkdir(parents=True)
    outcome = Outcome(
        model=NewModel("policy", folder, "demo-world", policy),
        metrics={"loss": 0.5, "standard_error": math.nan, "perplexity": math.inf},
    )
    complete_run(run=run, attempt=attempt, outcome=outcome)
    run.refresh_from_db()
    assert run.state == TrainingRun.State.SUCCEEDED
    assert run.result["metrics"] == ModelVersion.objects.get(run=run).metrics == {"loss": 0.5}


def test_lists_with_numbers_that_are_not_finite_can_be_stored() -> None:
    assert storable({"curve": [1.0, math.nan, [math.inf]], "x": -math.inf}) == {"curve": [1.0, None, [None]]}


def test_answers_with_invalid_text_are_logged_and_do_not_create_a_task(
    lab: Project, make_run: RunMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(kind="sample")
    attempt = transitions.claim_run(run_id=run.pk, worker="w")
    assert attempt is not None
    drafts = [
        TaskDraft([{"role": "user", "content": "Why?"}], [ResponseDraft(text, "young") for text in texts])
        for texts in (("because", "so"), ("because", "\x00"))
    ]
    complete_run(run=run, attempt=attempt, outcome=Outcome(tasks=NewTasks(drafts, overlap=1, priority=0)))
    run.refresh_from_db()
    counts = run.result["counts"]
    assert (counts["tasks"], counts["tasks_refused"]) == (1, 1) == (RankingTask.objects.count(), 1)
    assert "prompt 1: response 1 contains a NUL character" in capfd.readouterr().out


def test_model_is_not_registered_if_its_folder_cannot_be_moved(
    policy: ModelVersion, make_run: RunMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(project=policy.project)
    attempt = transitions.claim_run(run_id=run.pk, worker="w")
    assert attempt is not None
    outcome = Outcome(model=NewModel("policy", run.folder / "missing", "demo-world", policy))
    with pytest.raises(FileNotFoundError):
        complete_run(run=run, attempt=attempt, outcome=outcome)
    run.refresh_from_db()
    assert run.state == "running"
    assert ModelVersion.objects.get() == policy


def test_concurrent_completions_get_different_model_names(policy: ModelVersion, make_run: RunMaker) -> None:
    barrier = threading.Barrier(2)
    runs = [make_run(project=policy.project) for _ in range(2)]

    def finish(run: TrainingRun) -> None:
        try:
            attempt = transitions.claim_run(run_id=run.pk, worker="w")
            assert attempt is not None
            folder = run.folder / "made"
            folder.mkdir(parents=True)
            (folder / "config.json").write_text("{}")
            barrier.wait()
            complete_run(
                run=run, attempt=attempt, outcome=Outcome(model=NewModel("policy", folder, "b", policy))
            )
        finally:
            complete.transaction.get_connection().close()

    threads = [threading.Thread(target=finish, args=[run]) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(ModelVersion.objects.values_list("name", flat=True))
    assert names == ["lab-sft-1", "lab-sft-2", "lab-sft-3"]
    assert all(model.folder.is_dir() for model in ModelVersion.objects.all())
