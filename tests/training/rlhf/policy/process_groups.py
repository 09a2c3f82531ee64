"""Run training loops in groups of real processes: `python -m tests.training.rlhf.policy.process_groups FOLDER
RUNS`.

All processes are forked from one process that has already imported torch. RUNS is a JSON list of `Run`s,
which are executed one after the other. For each run, FOLDER then contains the metrics, the weights, and a
record of how each process ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import PROMPTS
from training.rlhf.core.distributed import Place, process_group
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.reporter import Cancelled, NullReporter
from training.rlhf.core.sharding import local
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig


@dataclass(frozen=True)
class Run:
    """A run of the loop `kind`. The last process kills itself at its `kills`-th call to `check`. The first
    process is asked to stop at the `cancels`-th of its calls to `check` that follow the first step's metrics.
    `checkpoints` is the name of the run whose checkpoints are used. In the last process, a pass over more
    than `memory` tokens fails as on a GPU without enough memory: a backward pass or, if `forward` is true, a
    forward pass in the middle of the model. If `stored` is true, the policy is loaded from a folder. `world`
    is the seed of the environment."""

    name: str
    kind: str
    processes: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    kills: int = 0
    cancels: int = 0
    checkpoints: str = ""
    memory: int = 0
    forward: bool = False
    stored: bool = False
    world: int = 0


class Limited(torch.autograd.Function):
    """The identity, whose backward pass fails if there are more than `limit` tokens."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, limit: int) -> torch.Tensor:
        ctx.tokens, ctx.limit = states.shape[0] * states.shape[1], limit
        return states.view_as(states)

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[torch.Tensor, None]:
        refuse(ctx.tokens, ctx.limit)
        return given[0], None


def refuse(tokens: int, limit: int) -> None:
    if tokens > limit:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Held:
    """Counts how many of the model's weights, gradients and moments this process holds after each optimiser
    step."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.numbers: dict[str, int] = {}

    def measure(self, optimiser: torch.optim.Optimizer, *given: Any) -> None:
        weights = list(self.model.parameters())
        if optimiser.param_groups[0]["params"][0] is not weights[0]:
            return  # the critic's optimiser
        moments = [one[name] for one in optimiser.state.values() for name in ("exp_avg", "exp_avg_sq")]
        gradients = [one.grad for one in weights if one.grad is not None]
        held = {"weights": weights, "gradients": gradients, "moments": moments}
        self.numbers = {name: sum(local(one).numel() for one in some) for name, some in held.items()}


class Recorder(NullReporter):
    def __init__(self, run: Run, rank: int) -> None:
        self.run, self.rank, self.checks, self.later_checks = run, rank, 0, 0
        self.metric_rows: list[tuple[int, dict[str, float]]] = []
        self.checkpoint_steps: list[int] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        clock = ("seconds/", "tokens_per_second")
        self.metric_rows.append((step, {k: v for k, v in values.items() if not k.startswith(clock)}))

    def checkpoint(self, step: int) -> None:
        self.checkpoint_steps.append(step)

    def check(self) -> None:
        self.checks += 1
        if self.rank == self.run.processes - 1 and self.checks == self.run.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        self.later_checks += bool(self.metric_rows)
        if self.rank == 0 and self.run.cancels and self.later_checks >= self.run.cancels:
            raise Cancelled("the run was asked to stop")


def train(run: Run, policy: ModelSource, folder: Path, report: Recorder) -> dict[str, float]:
    """Execute the training loop. Return the distance from the starting policy, if the loop measures it."""
    world = known_optimum.world(run.world)
    shared: dict[str, Any] = {
        "out_dir": folder / run.name,
        "checkpoints": folder / f"{run.checkpoints or run.name}.checkpoints",
        "report": report,
    }
    sampled: dict[str, Any] = {"policy": policy, "reward_model": world.reward_model(), "prompts": PROMPTS}
    demonstrations = [
        Demonstration(prompt, text)
        for prompt, text in zip(PROMPTS, ("good w1 w2", "bad", "w3", "w0 w1"), strict=True)
    ]
    rankings = [
        Ranking(
            messages=PROMPTS[n % 4],
            responses=(" ".join(["good"] * (1 + n % 3)), f"w{n % 4}", "bad bad")[: 2 + n % 2],
            tiers=((0,), (1,), (2,))[: 2 + n % 2],
            ranking_id=f"ranking-{n}",
            weight=1.0 + n % 2,
        )
        for n in range(11)
    ]
    loops: dict[str, Callable[[], object]] = {
        "rloo": lambda: rloo.train(RLOOConfig.model_validate(run.settings), **sampled, **shared),
        "ppo": lambda: ppo.train(
            PPOConfig.model_validate(run.settings), **sampled, demonstrations=demonstrations, **shared
        ),
        "dpo": lambda: dpo.train(
            DPOConfig.model_validate(run.settings),
            base_model=policy,
            rankings=rankings[2:],
            heldout=rankings[:2],
            **shared,
        ),
        "rejection": lambda: rejection_sampling.train(
            RejectionSamplingConfig.model_validate(run.settings),
            candidates=folder / f"{run.name}.candidates.parquet",
            **sampled,
            **shared,
        ),
        "sft": lambda: sft.train(
            SFTConfig.model_validate(run.settings),
            base_model=policy,
            demonstrations=5 * demonstrations,
            **shared,
        ),
    }
    distance: dict[str, float] = getattr(loops[run.kind](), "distance", {})
    return distance


def in_process(run: Run, folder: Path, rank: int) -> str:
    """Execute one process of a run. Return how the process ended."""
    torch.set_num_threads(1)
    policy, report = known_optimum.world(run.world).policy(), Recorder(run, rank)
    start: ModelSource = policy
    if run.stored:
        start = folder / f"{run.name}.{rank}.start"
        save_model(*policy, start)
    if run.forward and rank == run.processes - 1:
        policy.model.model.layers[-1].register_forward_pre_hook(
            lambda module, given: refuse(given[0].shape[0] * given[0].shape[1], run.memory)
        )
    elif run.memory and rank == run.processes - 1:
        policy.model.get_input_embeddings().register_forward_hook(
            lambda module, given, out: Limited.apply(out, run.memory)  # type: ignore[no-untyped-call]
        )
    place = Place(str(folder / f"{run.name}.meeting"), rank, run.processes)
    held = Held(policy.model)
    register_optimizer_step_post_hook(held.measure)
    distance: dict[str, float] = {}
    try:
        with process_group(place if run.processes > 1 else None):
            distance = train(run, start, folder, report)
            with complete_model(policy.model) as model:
                weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    except Exception as error:
        traceback.print_exc()
        return type(error).__name__
    finally:
        saved = {
            "metrics": report.metric_rows,
            "checkpoints": report.checkpoint_steps,
            "distance": distance,
        }
        (folder / f"{run.name}.{rank}.json").write_text(json.dumps(saved))
        (folder / f"{run.name}.{rank}.held.json").write_text(json.dumps(held.numbers))
    save_file(weights, folder / f"{run.name}.{rank}.safetensors")
    return "finished"


def execute(run: Run, folder: Path) -> dict[str, Any]:
    """Run a group of processes. Return how each process ended, and the seconds between the first and the last
    exit."""
    pids = []
    for rank in range(run.processes):
        pid = os.fork()
        if not pid:
            try:
                (folder / f"{run.name}.{rank}.end").write_text(in_process(run, folder, rank))
            finally:
                os._exit(0)
        pids.append(pid)
    ends, times = [""] * run.processes, []
    for _ in pids:
        pid, status = os.wait()
        times.append(time.monotonic())
        rank = pids.index(pid)
        code = os.waitstatus_to_exitcode(status)
        ends[rank] = (
            signal.Signals(-code).name if code < 0 else (folder / f"{run.name}.{rank}.end").read_text()
        )
    return {"ends": ends, "seconds": times[-1] - times[0]}


def main(folder: str, runs: str) -> None:
    known_optimum.world(0)
    done = {run.name: execute(run, Path(folder)) for run in (Run(**one) for one in json.loads(runs))}
    Path(folder, "done.json").write_text(json.dumps(done))


def as_json(runs: list[Run]) -> str:
    return json.dumps([asdict(run) for run in runs])


if __name__ == "__main__":
    main(*sys.argv[1:])
