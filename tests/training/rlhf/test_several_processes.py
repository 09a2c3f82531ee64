"""Two processes under torch.distributed get the same weights and metrics as one process and stop at the same
step.

The processes have the environment variables of torchrun workers. The processes are forked from one process
that has already imported torch. The training loop, the command line and gloo are not mocked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.rlhf import tiny
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS, message
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.saving import save_model

ROOT = Path(__file__).resolve().parents[3]
_RUN = """
import contextlib, json, os, signal, socket, sys
import torch
from training.rlhf import train_reward_model

torch.set_num_threads(1)

def forked(processes, log, arguments, die_at=0):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(processes):
        pid = os.fork()
        if not pid:
            if processes > 1:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            left = [die_at]
            def hook(what, arguments):
                if what == "os.rename" and ".partial-" in str(arguments):
                    left[0] -= 1
                    if not left[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)
            with open(f"{log}.{rank}", "w") as out, contextlib.redirect_stdout(out):
                code = train_reward_model.main(arguments)
            os._exit(code)
        pids.append(pid)
    codes = [0] * processes
    for _ in pids:
        pid, status = os.wait()
        codes[pids.index(pid)] = os.waitstatus_to_exitcode(status)
        # Like torchrun, end the other processes if one is killed. Processes that fail together exit unaided.
        if os.WIFSIGNALED(status):
            for other in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other, signal.SIGTERM)
    return codes

print(json.dumps([forked(*run) for run in json.loads(sys.argv[1])]))
"""


def as_row(ranking: Ranking) -> str:
    return json.dumps(
        {
            "messages": list(ranking.messages),
            "responses": list(ranking.responses),
            "tiers": [list(tier) for tier in ranking.tiers],
            "ranking_id": ranking.ranking_id,
            "weight": ranking.weight,
            "annotator": ranking.annotator,
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Execute all runs in this file as forks of one process. Return the exit codes by run name, and the
    folder with the results."""
    folder = tmp_path_factory.mktemp("several")
    save_model(tiny.policy(), tiny.tokenizer(), folder / "policy")
    # The rankings differ in weight and length. The last batch contains only one ranking, which is assigned to
    # the first process.
    rankings = [
        replace(ranking, weight=1.0 + number % 3, annotator=f"a{number % 2}")
        for number, ranking in enumerate(RANKINGS[:33])
    ]
    rankings[5] = replace(rankings[5], messages=message(tiny.words(*range(40))))
    (folder / "rankings.jsonl").write_text("\n".join(map(as_row, rankings)))
    (folder / "heldout.jsonl").write_text("\n".join(map(as_row, HELDOUT)))
    # This ranking's weight is close to the float32 maximum, so only this ranking's loss overflows.
    poisoned = [*rankings[:20], replace(rankings[20], weight=3.4e38), *rankings[21:]]
    (folder / "poisoned.jsonl").write_text("\n".join(map(as_row, poisoned)))

    # The held-out preferences are reversed, so training increases the held-out loss.
    contrary = [replace(ranking, tiers=ranking.tiers[::-1]) for ranking in HELDOUT]
    (folder / "contrary.jsonl").write_text("\n".join(map(as_row, contrary)))
    endless = replace(HELDOUT[0], responses=(tiny.words(*[7] * 200), "w1", "w2", "w3"))
    (folder / "endless.jsonl").write_text(as_row(endless))

    def command(
        name: str,
        rankings: str = "rankings",
        heldout: str = "heldout",
        **settings: object,
    ) -> list[str]:
        recipe = {
            **{"epochs": 2, "batch_rankings": 8, "learning_rate": 1e-3, "evaluations": 5},
            **{"annotators": "crowd_bt", "checkpoint_steps": 2, "micro_batch_tokens": 128},
        } | settings
        return [
            *(str(folder / f"{rankings}.jsonl"), "--heldout", str(folder / f"{heldout}.jsonl")),
            *("--base-model", str(folder / "policy"), "--out", str(folder / name)),
            *(f"--set={setting}={value}" for setting, value in recipe.items()),
        ]

    runs: dict[str, list[Any]] = {
        "one": [1, command("one")],
        "two": [2, command("two")],
        "killed": [2, command("killed"), 3],
        "killed, again": [2, command("killed")],
        "sharded": [2, command("sharded", sharding="full")],
        "sharded, killed": [2, command("sharded, killed", sharding="full"), 3],
        "sharded, killed, again": [2, command("sharded, killed", sharding="full")],
        "early": [1, command("early", heldout="contrary", learning_rate=5e-3, patience=1)],
        "early-two": [2, command("early-two", heldout="contrary", learning_rate=5e-3, patience=1)],
        "unjudged": [2, command("unjudged", heldout="endless", epochs=1, batch_rankings=33)],
        "poisoned": [2, command("poisoned", "poisoned", centring=10)],
    }
    argument = [[run[0], str(folder / name), *run[1:]] for name, run in runs.items()]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(argument)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = dict(zip(runs, json.loads(done.stdout.splitlines()[-1]), strict=True))
    return {"folder": folder, "codes": codes, "stderr": done.stderr}


def weights(made: dict[str, Any], name: str) -> torch.Tensor:
    tensors = load_file(made["folder"] / name / "model.safetensors")
    return torch.cat([tensor.flatten() for _, tensor in sorted(tensors.items())])


def result(made: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made["folder"] / f"{name}.0").read_text().splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["two", "sharded"])
def test_two_processes_give_the_same_weights_and_metrics_as_one_process(
    name: str, made: dict[str, Any]
) -> None:
    assert made["codes"]["one"] == [0], made["stderr"]
    assert made["codes"][name] == [0, 0], made["stderr"]
    assert (weights(made, "one") - weights(made, name)).abs().max() < 1e-5
    one, two = result(made, "one"), result(made, name)
    assert two["metrics"] == pytest.approx(one["metrics"], abs=1e-5)
    for annotator, reliability in one["annotators"].items():
        assert two["annotators"][annotator] == pytest.approx(reliability, abs=1e-5)
    assert one["steps"] == two["steps"] == 10
    assert (made["folder"] / f"{name}.1").read_text() == ""  # only the first process reports
    assert not (made["folder"] / f"{name}.checkpoints").exists()


@pytest.mark.parametrize(("killed", "whole"), [("killed", "two"), ("sharded, killed", "sharded")])
def test_two_processes_resumed_after_a_kill_reach_the_same_weights(
    killed: str, whole: str, made: dict[str, Any]
) -> None:
    first, second = made["codes"][killed]
    assert first == -9
    assert second != 0
    assert made["codes"][f"{killed}, again"] == [0, 0]
    assert torch.equal(weights(made, killed), weights(made, whole))
    assert result(made, f"{killed}, again")["metrics"] == result(made, whole)["metrics"]


def test_two_processes_stop_early_at_the_same_step_as_one_process(made: dict[str, Any]) -> None:
    assert (made["codes"]["early"], made["codes"]["early-two"]) == ([0], [0, 0])
    one, two = result(made, "early"), result(made, "early-two")
    assert one["steps"] == two["steps"] == 4  # stopped early: the second evaluation was no better
    assert one["total_steps"] == 10


def test_two_processes_finish_without_a_usable_held_out_set(made: dict[str, Any]) -> None:
    assert made["codes"]["unjudged"] == [0, 0], made["stderr"]
    assert result(made, "unjudged")["left_out"] == {"heldout/response_too_long": 1}


def test_non_finite_loss_stops_both_processes_and_the_error_names_the_ranking(
    made: dict[str, Any],
) -> None:
    assert made["codes"]["poisoned"] == [1, 1]
    [said, _] = [line for line in made["stderr"].splitlines() if "gradient norm" in line]
    assert "loss inf" in said
    assert "the rankings with this loss: ranking-20" in said
    step = int(said.partition("step ")[2].partition(" ")[0])
    kept = sorted(path.name for path in (made["folder"] / "poisoned.checkpoints").iterdir())
    assert kept[-1] == f"step-{step - 1:08d}"
    file = made["folder"] / "poisoned.checkpoints" / kept[-1] / "weights.safetensors"
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(file).values())
    assert not (made["folder"] / "poisoned").exists()
