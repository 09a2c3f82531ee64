"""launch_run and create_demo report their results, and show by their exit codes whether they succeeded."""

from __future__ import annotations

import json
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from annotation.models import Project, Prompt, RankingTask, User
from training.models import ModelVersion, TrainingRun
from training.simulation import demo

TINY = ["max_demonstrations=16", "batch_size=8", "sample_prompts=0"]


def command(*argv: str, **options: Any) -> str:
    out = StringIO()
    call_command(*argv, stdout=out, **options)
    return out.getvalue()


def test_launch_that_does_not_wait_queues_the_run_and_warns_if_no_worker_runs(
    transactional_db: None, lab: Project
) -> None:
    said = command("launch_run", "sft", "--project", "lab", "--set", "epochs=2", "weight_decay=0.01")
    run = TrainingRun.objects.get()
    assert (run.state, run.recipe["epochs"], run.recipe["weight_decay"]) == ("queued", 2, 0.01)
    assert "No training worker is running" in said
    assert str(run.id) in said


def test_launch_with_the_wait_option_executes_the_run_without_a_worker(
    test_database: None, lab: Project
) -> None:
    said = command("launch_run", "sft", "--project", "lab", "--set", *TINY, "--wait")
    assert "sft succeeded" in said
    assert "made lab-sft-1" in said
    assert ModelVersion.objects.get().name == "lab-sft-1"


def test_command_fails_with_the_cause_of_the_failed_run(
    test_database: None, lab: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    out = StringIO()
    argv = [
        "launch_run",
        "sft",
        "--project",
        "lab",
        "--wait",
        "--json",
        "--set",
        "base_model=no-such-model",
        *TINY,
    ]
    with pytest.raises(CommandError, match="The run failed"):
        call_command(*argv, stdout=out)
    run = json.loads(out.getvalue())
    assert (run["state"], run["failure"]["kind"]) == ("failed", "hub_unreachable")
    assert "no-such-model" in run["failure"]["detail"]


@pytest.mark.parametrize(
    ("name", "text"), [("r.json", '{"epochs": 3, "seed": 5}'), ("r.toml", "epochs = 3\nseed = 5\n")]
)
def test_settings_override_a_recipe_file(lab: Project, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    command(
        "launch_run", "sft", "--project", "lab", "--recipe", str(tmp_path / name), "--set", "seed=7", "--json"
    )
    assert {key: TrainingRun.objects.get().recipe[key] for key in ("epochs", "seed")} == {
        "epochs": 3,
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--set", "epochs"], "not have the form NAME=VALUE"),
        (["--set", "=3"], "not have the form NAME=VALUE"),
        (["--set", "epoch=3"], "no such setting"),
        (["--set", "epochs=0"], "greater than or equal to 1"),
        (["--input", "policy=gone"], "no model 'gone'"),
        (["--recipe", "missing.json"], "can't be read"),
    ],
)
def test_invalid_launch_is_refused_with_a_reason(lab: Project, argv: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        command("launch_run", "sft", "--project", "lab", *argv)
    assert not TrainingRun.objects.exists()


def test_unknown_project_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="no project 'typo'"):
        command("launch_run", "sft", "--project", "typo")


def test_demo_is_created_only_once(
    test_database: None, lab: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PROMPTS", 40)
    tiny_sft = {"max_demonstrations": 32, "batch_size": 8, "sample_prompts": 0}
    runs = {"sft": tiny_sft, "sample": {"max_prompts": 4, "max_new_tokens": 8}}
    monkeypatch.setattr(demo, "RUNS", runs | {"evaluate": {"max_new_tokens": 8, "max_prompts": 4}})
    logins = settings.STATE / demo.LOGINS_FILE
    logins.unlink(missing_ok=True)
    first = json.loads(command("create_demo", "--json"))
    assert first["new_users"] == ["admin", "annotator-1", "annotator-2", "manager"]
    assert (first["prompts"], first["models"]) == (40, ["demo-sft-1"])
    assert first["tasks"] == RankingTask.objects.count() > 0
    assert stat.S_IMODE(logins.stat().st_mode) == 0o600
    kept = dict(line.split() for line in logins.read_text().splitlines())
    for name, password in kept.items():
        assert User.objects.get(username=name).check_password(password)
    assert User.objects.get(username="admin").is_admin
    before = logins.read_text()

    again = json.loads(command("create_demo", "--json"))
    assert again == first | {"new_users": []}
    assert logins.read_text() == before
    assert TrainingRun.objects.count() == 3
    assert Prompt.objects.filter(project__slug="demo").count() == 40
