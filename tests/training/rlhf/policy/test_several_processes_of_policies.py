"""Training loops of policies run in two real processes with gloo. The processes get the same weights and
metrics as one process, stop together, and resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.held_kl import ONE_UPDATE, SETTINGS, TARGET
from tests.training.rlhf.policy.optimum.known_optimum import ROLLOUTS
from tests.training.rlhf.policy.optimum.solvers import SOLVERS
from tests.training.rlhf.policy.process_groups import Run, as_json
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.objectives.kl import LARGEST_PULL

ROOT = Path(__file__).resolve().parents[4]
SAMPLED: dict[str, Any] = ROLLOUTS | {
    **{"steps": 3, "rollout_prompts": 5, "responses_per_prompt": 3, "minibatches": 2, "samples": 1},
    **{"learning_rate": 3e-3, "micro_batch_tokens": 24, "checkpoint_steps": 1, "stop_kl": None},
}
RLOO = SAMPLED | {"kl_target": 0.5, "kl_ceiling": 50.0, "normalise_advantages": True}
PPO = SAMPLED | {"epochs": 2, "whiten_rewards": True, "ptx_coefficient": 0.3, "ptx_batch_size": 3}
# The second process has no prompt, and two of the three minibatches have one row.
SMALL = RLOO | {"rollout_prompts": 1, "responses_per_prompt": 4, "minibatches": 3}
OFFLINE = {"epochs": 2, "learning_rate": 3e-3, "checkpoint_steps": 1, "sample_prompts": 1, "sample_tokens": 3}
# The last batch of an epoch contains one ranking, so the second process has none.
DPO = OFFLINE | {"batch_rankings": 4, "micro_batch_tokens": 24, "sft_coefficient": 0.2, "kl_samples": 0}
SFT = OFFLINE | {"batch_size": 5, "micro_batch_tokens": 16, "heldout_share": 0.25}
REJECTION = SFT | {
    "learning_rate": 3e-4,  # the recipe's default for a model of this size
    "samples_per_prompt": 4,
    "max_new_tokens": 3,
    "rounds": 2,
    "heldout_share": 0.0,
}
# In the first steps, the KL exceeds its target, so the weights are pulled back.
PULLED = RLOO | {"kl_target": 0.2, "steps": 4}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "rloo": ("rloo", RLOO),
    "small": ("rloo", SMALL),
    "pulled back": ("rloo", PULLED),
    "ppo": ("ppo", PPO),
    "ppo by sentence": ("ppo", PPO | {"reward_spread": "sentences", "steps": 2}),
    "dpo": ("dpo", DPO),
    "sft": ("sft", SFT),
    "rejection sampling": ("rejection", REJECTION),
}
# Maps each run with a sharded model to the run with the same settings but without sharding.
SHARDED = {f"{name}, sharded": name for name in ("rloo", "ppo", "dpo", "sft", "rejection sampling")}
TOGETHER = KINDS | {
    name: (KINDS[same_as][0], KINDS[same_as][1] | {"sharding": "full"}) for name, same_as in SHARDED.items()
}
# Adapters need a base that is loaded from a folder, and only the adapter is saved.
LORA = {"use_peft": True, "lora_r": 4}
ADAPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "rloo by LoRA": ("rloo", RLOO | LORA | {"steps": 2}),
    "ppo by LoRA": ("ppo", PPO | LORA | {"steps": 2}),
    "ppo by LoRA, shared critic": ("ppo", PPO | LORA | {"steps": 2, "critic": "shared"}),
    "dpo by LoRA": ("dpo", DPO | LORA | {"epochs": 1}),
    "sft by LoRA": ("sft", SFT | LORA | {"epochs": 1}),
    "rejection sampling by LoRA": ("rejection", REJECTION | LORA | {"rounds": 1}),
}
# Only the second process runs out of memory, in a forward or in a backward pass.
ROOMY = {"micro_batch_tokens": 1000}
OF_KIND: dict[str, dict[str, Any]] = {
    "rloo": RLOO | ROOMY | {"steps": 2},
    "ppo": PPO | ROOMY | {"steps": 1},
    "dpo": DPO | ROOMY | {"epochs": 1},
    "sft": SFT | ROOMY | {"epochs": 1},
}
FULL: dict[str, dict[str, Any]] = {
    "rloo, backward": {},
    "dpo, backward": {},
    "sft, forward": {"forward": True},
    "rloo, sharded, forward": {"forward": True, "sharding": "full"},
    "ppo, sharded, backward": {"sharding": "full"},
    # A sharded policy processes a ranking in one pass.
    "dpo, sharded, forward": {"forward": True, "sharding": "full", "memory": 20},
    "sft, sharded, backward": {"sharding": "full"},
}
MEMORY = 12
# For runs whose policy is loaded from a folder: the number of processes, and the value of `sharding`.
STORED = [(1, "none"), (2, "none"), (2, "full")]
# For each run that is stopped and resumed: the run with which its result is compared, and how it is stopped.
STOPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "killed": ("rloo", {"kills": 30}),
    "cancelled": ("rloo", {"cancels": 3}),
    "killed, sharded": ("dpo, sharded", {"kills": 15}),
    "cancelled, sharded": ("sft, sharded", {"cancels": 1}),
    "killed, ppo": ("ppo", {"kills": 30}),
    "killed, adapter": ("ppo by LoRA, shared critic", {"kills": 20, "stored": True}),
}
KL_WORLD = 2  # the seed of the environment of the run with a KL target


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Execute all runs in this file as forks of one process. Return how each run ended, and the folder with
    the results."""
    folder = tmp_path_factory.mktemp("groups")
    runs = [Run(f"{name}-1", kind, 1, settings) for name, (kind, settings) in KINDS.items()]
    runs += [Run(f"{name}-2", kind, 2, settings) for name, (kind, settings) in TOGETHER.items()]
    for name, (kind, settings) in ADAPTED.items():
        runs += [Run(f"{name}-{n}", kind, n, settings, stored=True) for n in (1, 2)]
    runs += [Run(f"{kind}, roomy", kind, 1, settings) for kind, settings in OF_KIND.items()]
    for name, how in FULL.items():
        kind, sharding = name.split(", ")[0], {"sharding": how.get("sharding", "none")}
        runs.append(
            Run(
                f"{name}-2",
                kind,
                2,
                OF_KIND[kind] | sharding,
                memory=how.get("memory", MEMORY),
                forward=how.get("forward", False),
            )
        )
    for processes, sharding in STORED:
        settings = SFT | {"epochs": 1, "kl_samples": 4, "sharding": sharding}
        runs.append(Run(f"stored-{processes}-{sharding}", "sft", processes, settings, stored=True))
    server = {"rounds": 1, "server": "http://127.0.0.1:9", "server_model": "any"}
    runs.append(Run("server", "rejection", 2, REJECTION | server))
    for name, (same_as, how) in STOPPED.items():
        kind, settings = (TOGETHER | ADAPTED)[same_as]
        runs.append(Run(name, kind, 2, settings, **how))
        again = Run(f"{name}-again", kind, 2, settings, stored="stored" in how, checkpoints=name)
        runs.append(again)
    runs.append(Run("optimum", "rloo", 2, SOLVERS["rloo"].settings))
    runs.append(Run("target", "rloo", 2, SETTINGS | ONE_UPDATE, world=KL_WORLD))
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.rlhf.policy.process_groups", str(folder), as_json(runs)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {"folder": folder, "stderr": done.stderr, **json.loads((folder / "done.json").read_text())}


def weights(made: dict[str, Any], name: str, rank: int = 0) -> torch.Tensor:
    """The trained weights in the process `rank` or, for an adapter, the weights that the first process
    saved."""
    adapter = made["folder"] / name / "adapter_model.safetensors"
    tensors = load_file(adapter if adapter.exists() else made["folder"] / f"{name}.{rank}.safetensors")
    return torch.cat([tensor.flatten() for _, tensor in sorted(tensors.items())])


def saved(made: dict[str, Any], name: str, rank: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made["folder"] / f"{name}.{rank}.json").read_text())
    return found


@pytest.mark.parametrize("name", TOGETHER)
def test_two_processes_end_with_the_weights_and_metrics_of_one_process(
    name: str, made: dict[str, Any]
) -> None:
    alone, together = f"{SHARDED.get(name, name)}-1", f"{name}-2"
    assert made[alone]["ends"] == ["finished"], made["stderr"]
    assert made[together]["ends"] == ["finished", "finished"], made["stderr"]
    one, two = weights(made, alone), weights(made, together)
    # Adam divides a gradient by its own size, so it magnifies the rounding of a gradient near 0, in
    # proportion to the learning rate. With 1e-3 in place of 3e-4, one of 19,424 weights of the sharded
    # rejection sampling run differed by 1.35e-5.
    assert (one - two).abs().max() < (1e-6 if "rejection" in name else 1e-5)
    assert torch.equal(two, weights(made, together, rank=1))
    expected, found = (saved(made, run)["metrics"] for run in (alone, together))
    assert len(expected) > 0
    for (step, values), (same_step, same) in zip(expected, found, strict=True):
        assert step == same_step
        assert same == pytest.approx(values, abs=1e-4, rel=1e-4)
    assert saved(made, together, rank=1) == {"metrics": [], "checkpoints": [], "distance": {}}


@pytest.mark.parametrize("name", ADAPTED)
def test_two_processes_train_the_same_adapter_as_one_process(name: str, made: dict[str, Any]) -> None:
    assert made[f"{name}-1"]["ends"] == ["finished"], made["stderr"]
    assert made[f"{name}-2"]["ends"] == ["finished", "finished"], made["stderr"]
    one, two = (load_file(made["folder"] / f"{name}-{n}" / "adapter_model.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    assert any(one[weight].abs().max() > 1e-4 for weight in one if "lora_B" in weight)  # it was trained
    assert max(float((one[weight] - two[weight]).abs().max()) for weight in one) < 1e-5


def test_two_processes_reach_95_percent_of_the_optimum(made: dict[str, Any]) -> None:
    assert made["optimum"]["ends"] == ["finished", "finished"], made["stderr"]
    policy = load_policy(made["folder"] / "optimum").model
    assert SOLVERS["rloo"].share(known_optimum.world(0), policy) > 0.95


def test_policy_of_two_processes_does_not_exceed_its_kl_target(made: dict[str, Any]) -> None:
    assert made["target"]["ends"] == ["finished", "finished"], made["stderr"]
    policy = load_policy(made["folder"] / "target").model
    assert 0.25 < known_optimum.world(KL_WORLD).kl(policy) <= TARGET


@pytest.mark.parametrize("name", SHARDED)
def test_each_process_holds_half_of_a_sharded_model(name: str, made: dict[str, Any]) -> None:
    [total] = {len(weights(made, f"{name}-2", rank=rank)) for rank in (0, 1)}
    held = [json.loads((made["folder"] / f"{name}-2.{rank}.held.json").read_text()) for rank in (0, 1)]
    for kind, times in (("weights", 1), ("gradients", 1), ("moments", 2)):
        assert held[0][kind] + held[1][kind] == times * total
        # A weight can have an odd number of rows.
        assert max(one[kind] for one in held) < 0.52 * times * total


def test_processes_together_measure_the_distance_from_the_starting_policy(
    made: dict[str, Any],
) -> None:
    found = []
    for processes, sharding in STORED:
        name = f"stored-{processes}-{sharding}"
        assert made[name]["ends"] == ["finished"] * processes, made["stderr"]
        found.append(saved(made, name)["distance"])
    one, *others = found
    assert one["parameters/change"] > 0.01
    assert one["objective/kl"] != 0.0
    for other in others:
        assert other == pytest.approx(one, abs=1e-5, rel=1e-4)


@pytest.mark.parametrize("name", SHARDED)
def test_sharded_run_saves_the_complete_model(name: str, made: dict[str, Any]) -> None:
    stored = load_file(made["folder"] / f"{name}-2" / "model.safetensors")
    trained = load_file(made["folder"] / f"{name}-2.0.safetensors")
    assert stored.keys() == trained.keys()
    assert all(torch.equal(stored[key], trained[key]) for key in stored)


def test_weights_are_pulled_back_according_to_the_kl_of_all_processes(made: dict[str, Any]) -> None:
    pulls = [values["kl_pull"] for _, values in saved(made, "pulled back-2")["metrics"]]
    assert any(
        0.01 < pull < LARGEST_PULL for pull in pulls
    )  # at the limit, the pull doesn't depend on the KL


@pytest.mark.parametrize("name", FULL)
def test_all_processes_use_smaller_micro_batches_if_one_runs_out_of_memory(
    name: str, made: dict[str, Any]
) -> None:
    assert made[f"{name}-2"]["ends"] == ["finished", "finished"], made["stderr"]
    assert "Out of memory in step 1 (in another process)" in made["stderr"]
    whole = f"{name.split(', ')[0]}, roomy"
    one, two = weights(made, whole), weights(made, f"{name}-2")
    assert (one - two).abs().max() < 1e-5
    for (_, expected), (_, found) in zip(
        saved(made, whole)["metrics"], saved(made, f"{name}-2")["metrics"], strict=True
    ):
        lowered = found.pop("micro_batch_tokens")
        assert 0 < lowered < 2 * FULL[name].get("memory", MEMORY)
        assert found == pytest.approx(expected, abs=1e-4, rel=1e-4)
    assert torch.equal(two, weights(made, f"{name}-2", rank=1))


def test_server_cannot_be_combined_with_several_processes(made: dict[str, Any]) -> None:
    assert made["server"]["ends"] == ["ServerUnusable", "ServerUnusable"], made["stderr"]
    assert "a server can't generate the answers of a run with several processes" in made["stderr"]


@pytest.mark.parametrize("name", [name for name in STOPPED if name.startswith("killed")])
def test_run_fails_within_seconds_if_a_process_is_killed(name: str, made: dict[str, Any]) -> None:
    assert made[name]["ends"] == ["ProcessLost", "SIGKILL"], made["stderr"]
    assert made[name]["seconds"] < 10


def test_both_processes_stop_in_the_middle_of_a_rollout_and_leave_a_checkpoint(made: dict[str, Any]) -> None:
    assert made["cancelled"]["ends"] == ["Cancelled", "Cancelled"], made["stderr"]
    assert made["cancelled"]["seconds"] < 10
    assert saved(made, "cancelled")["checkpoints"] == [1, 1]


def test_processes_of_a_sharded_model_stop_between_passes_and_save_together(
    made: dict[str, Any],
) -> None:
    assert made["cancelled, sharded"]["ends"] == ["Cancelled", "Cancelled"], made["stderr"]
    assert made["cancelled, sharded"]["seconds"] < 10
    assert saved(made, "cancelled, sharded")["checkpoints"] == [1, 1]


@pytest.mark.parametrize("name", STOPPED)
def test_resumed_processes_end_with_the_weights_of_an_uninterrupted_run(
    name: str, made: dict[str, Any]
) -> None:
    assert made[f"{name}-again"]["ends"] == ["finished", "finished"], made["stderr"]
    same_as, _ = STOPPED[name]
    assert torch.equal(weights(made, f"{name}-again"), weights(made, f"{same_as}-2"))
    uninterrupted = saved(made, f"{same_as}-2")["metrics"]
    assert saved(made, f"{name}-again")["metrics"] == uninterrupted[len(saved(made, name)["metrics"]) :]
