"""Kill the demo's services at random moments while its training loop runs, and check that nothing is lost.

    .venv/bin/python -m benchmarks.loop_kills [--seed 1] [--rounds 3] [--between 5 25]

The benchmark runs the demo's loop as `benchmarks.loop` does, with shorter runs. In the meantime, it kills
(SIGKILL) a random service after a random number of seconds (`--between`): Postgres, Valkey, a web process,
the training worker, the training process or beat. The supervisor restarts all of them except the training
process, whose run is resumed by the worker.

When the rounds have ended, the benchmark checks that every step is in a final state, that no step and no
round failed, that every run of the loop belongs to exactly one step, that no task has more rankings than its
overlap, and that every acknowledged ranking is stored. It exits with status 1 if a check fails.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import psycopg

from benchmarks.loop import FIRST, OPEN, PROJECT, ROUNDS, STARVED_SECONDS, Demo
from benchmarks.requests import manage

# The words in a process's command line by which a service is recognised.
SERVICES = {
    "Postgres": ("bin/postgres", "-D"),
    "Valkey": ("valkey-server",),
    "web": ("uvicorn",),
    "worker": ("celery", "--queues=training"),
    "beat": ("celery", "beat"),
}
TRAINING_PROCESS = "training process"
FORK_SERVER = "training.runs.process.fork_server"
SETTINGS = (
    "min_new_comparisons=300", "recipes.ppo.steps=8", "recipes.sample.max_prompts=100",
    "recipes.reward_model.epochs=1",
    "recipes.ppo.checkpoint_steps=1", "recipes.reward_model.checkpoint_steps=5",
    "gate_prompts=60", "gate_rankings=60",
)  # fmt: skip
STEPS = """
    SELECT r.number, s.position, s.kind, s.state, coalesce(run.attempt, 0)
    FROM training_roundstep s JOIN training_round r ON r.id = s.round_id
    LEFT JOIN training_trainingrun run ON run.id = s.run_id
    ORDER BY 1, 2
"""
# The demo's own runs (SFT, the first samples and the first evaluation) belong to no step.
RUNS_WITHOUT_STEP = """
    SELECT count(*) FROM training_trainingrun run
    WHERE NOT EXISTS (SELECT FROM training_roundstep s WHERE s.run_id = run.id)
"""
DEMO_RUNS = 3
BEYOND_OVERLAP = """
    SELECT count(*) FROM (
        SELECT FROM annotation_ranking r JOIN annotation_rankingtask t ON t.id = r.task_id
        GROUP BY t.id, t.overlap HAVING count(*) > t.overlap) beyond
"""
STORED = "SELECT count(*) FROM annotation_ranking"


def children() -> dict[int, list[int]]:
    """The process IDs of all processes by the ID of their parent."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # the process has ended
            found.setdefault(parent, []).append(int(folder.name))
    return found


def arguments(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def targets(supervisor: int) -> dict[str, list[int]]:
    """The running processes that can be killed, by the name of their service."""
    family = children()
    found: dict[str, list[int]] = {}
    for pid in family.get(supervisor, []):
        line = arguments(pid)
        for name, words in SERVICES.items():
            if all(word in line for word in words):
                found.setdefault(name, []).append(pid)
        for server in family.get(pid, []):
            if FORK_SERVER in arguments(server) and (forked := family.get(server)):
                found.setdefault(TRAINING_PROCESS, []).extend(forked)
    return found


def kill_at_random(demo: Demo, between: tuple[float, float], ended: threading.Event) -> Counter[str]:
    """Kill one process after another until `ended` is set. Return the number of kills by service."""
    chance, kills = random.Random(demo.seed), Counter[str]()
    while not ended.wait(chance.uniform(*between)):
        found = targets(demo.supervisor.pid)
        if not found:
            continue
        # The services that were killed least often are preferred, so that every service is killed.
        fewest = min(kills[name] for name in found)
        name = chance.choice(sorted(name for name in found if kills[name] == fewest))
        try:
            os.kill(chance.choice(found[name]), signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills[name] += 1
    return kills


def run_rounds(demo: Demo, number: int) -> int:
    """Rank until this number of rounds has ended. Return the number of rankings that were acknowledged."""
    acknowledged, turn, progress = 0, 0, time.monotonic()
    while True:
        try:
            rounds = demo.rows(ROUNDS)
            if sum(state != "running" for _, state, _ in rounds) >= number:
                return acknowledged
            for (slug,) in demo.rows(OPEN):
                done = manage(
                    demo.state, "simulate_annotators", "--project", str(slug), "--annotators", "4",
                    "--noise", "0.1", "--seed", str(turn := turn + 1), "--limit", "100", "--url", demo.url,
                )  # fmt: skip
                acknowledged += int(str(done["rankings"]))
                progress = time.monotonic()
            if any(state == "running" for _, state, _ in rounds):
                progress = time.monotonic()
        except (psycopg.Error, subprocess.CalledProcessError):
            pass  # a service is down; the supervisor restarts it
        if time.monotonic() - progress > STARVED_SECONDS:
            raise SystemExit("No round is running and no task is open, so no further round will start.")
        time.sleep(1.0)


def faults(demo: Demo, acknowledged: int) -> list[str]:
    """What was lost, executed twice or left open. Empty if nothing was."""
    found = [
        f"Round {number} {state}: {reason}" for number, state, reason in demo.rows(ROUNDS)
        if state not in ("succeeded", "stopped")
    ]  # fmt: skip
    found += [
        f"Step {position} ({kind}) of round {number} is {state}."
        for number, position, kind, state, _ in demo.rows(STEPS)
        if state not in ("succeeded", "stopped", "skipped")
    ]
    [[without_step]] = demo.rows(RUNS_WITHOUT_STEP)
    if without_step != DEMO_RUNS:
        found.append(f"{without_step} runs belong to no step; {DEMO_RUNS} were expected.")
    [[beyond]] = demo.rows(BEYOND_OVERLAP)
    if beyond:
        found.append(f"{beyond} tasks have more rankings than their overlap.")
    [[stored]] = demo.rows(STORED)
    if int(str(stored)) < acknowledged:
        found.append(f"{acknowledged} rankings were acknowledged, but {stored} are stored.")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--between", type=float, nargs=2, default=(5.0, 25.0), metavar="SECONDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rankloop-loop-") as home:
        demo = Demo(Path(home), seed=options.seed, noise=0.1)
        try:
            demo.rows(FIRST)  # the demo has its first policy
            manage(
                demo.state, "set_loop", PROJECT, "--on", "--set", *SETTINGS, f"max_rounds={options.rounds}"
            )
            ended, kills = threading.Event(), Counter[str]()
            low, high = options.between
            killer = threading.Thread(
                target=lambda: kills.update(kill_at_random(demo, (low, high), ended)), daemon=True
            )
            killer.start()
            try:
                acknowledged = run_rounds(demo, options.rounds)
            finally:
                ended.set()
                killer.join()
            time.sleep(30.0)  # the last service that was killed starts again
            found = faults(demo, acknowledged)
            print("Kills: " + ", ".join(f"{name} {number}" for name, number in sorted(kills.items())) + ".")
            print("\n| round | step | kind | state | attempts of its run |\n|---|---|---|---|---|")
            for row in demo.rows(STEPS):
                print("| " + " | ".join(str(value) for value in row) + " |")
            print(f"\n{acknowledged} rankings were acknowledged. Faults: {len(found)}.", *found, sep="\n")
            return int(bool(found))
        finally:
            demo.stop()


if __name__ == "__main__":
    raise SystemExit(main())
