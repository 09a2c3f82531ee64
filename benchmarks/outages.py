"""Check that runs of every kind lose no results despite an outage of Postgres or Valkey at any moment.

    .venv/bin/python -m benchmarks.outages [--seconds 60] [--kinds sft ppo …] [--outages restart hang broker]
        [--moments claim start middle end]

Small runs are launched on a temporary embedded stack. An undisturbed run of each kind shows how long such a
run takes. In the following runs, an outage begins when the run is launched (claim), when it starts, halfway
through it, or shortly before its end. There are three outages:

- restart: Postgres is stopped and starts again after `--seconds`. All connections are cut.
- hang: Postgres receives SIGSTOP, and SIGCONT after `--seconds`. Connections stay open but get no response.
- broker: Valkey is killed and starts again after `--seconds`.

Each row shows how the run ended, the number of its attempts, and the time from the end of the outage to the
end of the run. Every run must succeed on its first attempt.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.requests import manage, start_stack
from embedded.state import StateFolder
from training import demo_world

PROJECT = "outages"
FEW = {"max_prompts": 64, "max_new_tokens": 32}
RECIPES: dict[str, dict[str, Any]] = {
    "sft": {"max_demonstrations": 1000, "sample_prompts": 1},
    "reward_model": {"epochs": 4, "batch_rankings": 2, "checkpoint_steps": 5},
    "rejection_sampling": FEW | {"samples_per_prompt": 4, "sample_prompts": 1, "batch_size": 4, "epochs": 2},
    "dpo": {"epochs": 2, "batch_rankings": 4, "sample_prompts": 1, "checkpoint_steps": 5},
    "rloo": FEW | {"steps": 6, "rollout_prompts": 4, "samples": 1},
    "ppo": FEW | {"steps": 6, "rollout_prompts": 8, "samples": 1},
    "sample": FEW | {"responses_per_prompt": 8},
    "evaluate": FEW | {"judge": "reward_model", "split": "all", "responses_per_prompt": 16},
}
MOMENTS = ("claim", "start", "middle", "end")
RUN_SECONDS = 600.0
POLL_SECONDS = 0.05
READ_RUN = "SELECT state, attempt, error ->> 'title' FROM training_trainingrun WHERE id = %s"


class Stack:
    def __init__(self, home: Path) -> None:
        self.state = home / "state"
        self.supervisor, _ = start_stack(self.state, home / "out.txt")
        running = StateFolder(self.state).running()
        assert running is not None
        self.database = running.database_url

    def stop(self) -> None:
        self.supervisor.send_signal(signal.SIGINT)
        self.supervisor.wait()

    def launch(self, kind: str) -> str:
        settings = [f"{name}={json.dumps(value).strip(chr(34))}" for name, value in RECIPES[kind].items()]
        return str(manage(self.state, "launch_run", kind, "--project", PROJECT, "--set", *settings)["id"])

    def log_of(self, run: str) -> Path:
        return StateFolder(self.state).artefacts / "runs" / run / "log.txt"

    def seen(self, run: str) -> tuple[str, int, str | None]:
        with psycopg.connect(self.database, connect_timeout=5) as connection:
            row = connection.execute(READ_RUN, [run]).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def wait(self, run: str) -> tuple[str, int, str | None]:
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError):
                found = self.seen(run)
                if found[0] not in {"queued", "running"}:
                    return found
            time.sleep(POLL_SECONDS)
        return "not over", 0, None

    def server(self, name: str) -> psutil.Process:
        children = psutil.Process(self.supervisor.pid).children()
        return next(process for process in children if process.name() == name)


def restart(stack: Stack, seconds: float, *, name: str, kill: signal.Signals) -> None:
    server = stack.server(name)
    stack.supervisor.send_signal(signal.SIGSTOP)  # otherwise, the supervisor would restart the server at once
    server.send_signal(kill)
    time.sleep(seconds)
    stack.supervisor.send_signal(signal.SIGCONT)


def hang(stack: Stack, seconds: float) -> None:
    server = stack.server("postgres")
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.suspend()
    time.sleep(seconds)
    for process in reversed(family):
        process.resume()


OUTAGES: dict[str, Callable[[Stack, float], None]] = {
    "restart": lambda stack, seconds: restart(stack, seconds, name="postgres", kill=signal.SIGINT),
    "hang": hang,
    "broker": lambda stack, seconds: restart(stack, seconds, name="valkey-server", kill=signal.SIGKILL),
}


def fill(stack: Stack, file: Path) -> None:
    rows = [
        {"prompt": messages, "responses": ["Hello, thank you.", f"No, {number}."], "tiers": [[0], [1]]}
        for number, messages in enumerate(demo_world.prompts(96, seed=3))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manage(stack.state, "create_project", PROJECT, "--preset", "ranking")
    manage(stack.state, "import_responses", str(file), "--project", PROJECT)


def undisturbed(stack: Stack, kind: str) -> float:
    """Launch a run without an outage. Return the seconds from the first line of the run's log to the end of
    the run."""
    run = stack.launch(kind)
    while not stack.log_of(run).exists():
        time.sleep(POLL_SECONDS)
    began = time.monotonic()
    state, _, title = stack.wait(run)
    if state != "succeeded":
        raise SystemExit(f"The undisturbed {kind} run {state}: {title}")
    return time.monotonic() - began


def disturbed(stack: Stack, kind: str, outage: str, moment: str, took: float, seconds: float) -> str:
    run = stack.launch(kind)
    while moment != "claim" and not stack.log_of(run).exists():
        time.sleep(POLL_SECONDS)
    time.sleep({"claim": 0.0, "start": 0.0, "middle": took / 2, "end": max(0.0, took - 0.5)}[moment])
    before = stack.seen(run)[0]
    OUTAGES[outage](stack, seconds)
    ended = time.monotonic()
    state, attempt, title = stack.wait(run)
    return (
        f"| {kind} | {outage} | {moment} ({before}) | {state}{f': {title}' if title else ''} | {attempt} "
        f"| {time.monotonic() - ended:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kinds", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--outages", nargs="+", default=list(OUTAGES), choices=list(OUTAGES))
    parser.add_argument("--moments", nargs="+", default=list(MOMENTS), choices=list(MOMENTS))
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    os.environ["OMP_NUM_THREADS"] = "1"
    stack = Stack(home)
    try:
        fill(stack, home / "rows.jsonl")
        print("| kind | outage | moment (state) | result | attempts | s after the outage |", flush=True)
        print("|---|---|---|---|---|---|", flush=True)
        for kind in RECIPES:
            if kind not in options.kinds and kind not in {"sft", "reward_model"}:
                continue
            took = undisturbed(stack, kind)  # the other kinds need the models that sft and reward_model train
            print(f"| {kind} | none |  | succeeded | 1 | {took:.1f} in all |", flush=True)
            for outage in options.outages if kind in options.kinds else ():
                for moment in options.moments:
                    print(disturbed(stack, kind, outage, moment, took, options.seconds), flush=True)
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
