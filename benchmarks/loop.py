"""Run the demo's training loop for several rounds with simulated annotators, and measure each round's policy.

    .venv/bin/python -m benchmarks.loop [--seeds 1 2 3] [--rounds 3] [--noise 0.1] [--prompts 400]
        [--set KEY=VALUE …] [--shuffled] [--plot docs/images/loop.svg]

For each seed, the benchmark starts a temporary stack, creates the demo, and turns its loop on. From then on,
it only ranks: simulated annotators answer the open tasks of the project and of its gates over HTTP, by the
gold reward with a share of random orders (`--noise`). The loop starts its rounds without further commands.

After the last round, the first policy and the production policy of each round answer the same new prompts.
The win rate of a policy is the share of prompts for which its answer has a higher gold reward than the first
policy's answer; a tie counts as half a win. The interval is the mean ± 1.96 standard errors. The table also
shows what the round's gates decided. `--plot` writes the win rates as an SVG file.

With `--shuffled`, all rankings are in random order, so the reward model learns nothing, and the gate of the
reward model has to stop every round. The gates of policies are answered by the gold reward as usual.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import psycopg
import torch

from benchmarks.requests import manage, start_stack
from embedded.state import StateFolder
from training import demo_world
from training.rlhf.core.messages import Messages
from training.rlhf.generation.evaluation import Evaluation, evaluate, mean_and_error
from training.rlhf.recipes.answers import EvaluateConfig

PROJECT = "demo"
FRESH_PROMPTS_SEED = 20_000  # added to the seed
PROMPTS, PROMPT_SEED = 2400, 1  # as in training.simulation.demo, which can't be imported without Django
STARVED_SECONDS = 120.0  # without a running round and without an open task, no further round can start
OPEN = """
    SELECT p.slug FROM annotation_project p
    WHERE p.state = 'active' AND EXISTS (
        SELECT FROM annotation_rankingtask t WHERE t.project_id = p.id AND t.state = 'open')
"""
ROUNDS = "SELECT number, state, reason FROM training_round ORDER BY number"
FIRST = "SELECT name FROM training_modelversion WHERE kind = 'policy' ORDER BY created_at LIMIT 1"
PRODUCTION = "SELECT name FROM training_modelversion WHERE kind = 'policy' AND stage = 'production'"


@dataclass(frozen=True)
class Measured:
    """A round's outcome. `policy` is the production policy after the round, or the first policy."""

    seed: int
    number: int
    state: str
    reason: str
    policy: str
    gold: float
    win_rate: float
    error: float


class Demo:
    """The demo on a temporary stack."""

    def __init__(self, home: Path, *, seed: int, noise: float) -> None:
        self.state, self.seed, self.noise = home / "state", seed, noise
        self.supervisor, self.url = start_stack(self.state, home / "out.txt")
        running = StateFolder(self.state).running()
        assert running is not None
        self.database = running.database_url
        manage(self.state, "create_demo", "--seed", str(seed))

    def stop(self) -> None:
        self.supervisor.send_signal(signal.SIGTERM)
        self.supervisor.wait()

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query.encode()).fetchall()

    def rank(self, slug: str, turn: int) -> bool:
        """Return whether the annotators ranked anything."""
        noise = self.noise if slug == PROJECT else min(self.noise, 0.1)
        done = manage(
            self.state, "simulate_annotators", "--project", slug, "--annotators", "4",
            "--noise", str(noise), "--seed", str(1000 * self.seed + turn), "--url", self.url,
        )  # fmt: skip
        return done["rankings"] != 0

    def run_rounds(self, number: int) -> list[str]:
        """Rank until this number of rounds has ended. Return the production policy after each round, or the
        first policy as long as no policy is in production."""
        policies: list[str] = []
        progress, turn = time.monotonic(), 0
        while len(policies) < number:
            rounds = self.rows(ROUNDS)
            ended = sum(state != "running" for _, state, _ in rounds)
            while len(policies) < ended:
                [[policy]] = self.rows(PRODUCTION) or self.rows(FIRST)
                policies.append(str(policy))
            for (slug,) in self.rows(OPEN):
                if self.rank(str(slug), turn := turn + 1):
                    progress = time.monotonic()
            if ended < len(rounds):
                progress = time.monotonic()
            if time.monotonic() - progress > STARVED_SECONDS:
                raise SystemExit("No round is running and no task is open, so no further round will start.")
            time.sleep(1.0)
        return policies

    def evaluation(self, policy: str, prompts: Sequence[Messages]) -> Evaluation:
        folder = StateFolder(self.state).artefacts / "models" / policy
        config = EvaluateConfig(responses_per_prompt=1, seed=self.seed)
        return evaluate(config, policy=folder, prompts=prompts, judge=demo_world.gold_reward)


def measured(demo: Demo, policies: Sequence[str], prompts: Sequence[Messages]) -> list[Measured]:
    [[name]] = demo.rows(FIRST)
    first = demo.evaluation(str(name), prompts)
    found = []
    for policy, (number, state, reason) in zip(policies, demo.rows(ROUNDS), strict=False):
        new = demo.evaluation(policy, prompts)
        rate, error = mean_and_error(
            [
                0.5 if abs(a.mean - b.mean) < 1e-9 else float(a.mean > b.mean)
                for a, b in zip(new.rows, first.rows, strict=True)
            ]
        )
        found.append(
            Measured(demo.seed, int(str(number)), str(state), str(reason), policy, new.mean, rate, error)
        )
    return found


def fresh_prompts(number: int, seed: int) -> list[Messages]:
    known = demo_world.prompts(PROMPTS, PROMPT_SEED + seed)
    drawn = demo_world.prompts(number + PROMPTS, FRESH_PROMPTS_SEED + seed)
    return [messages for messages in drawn if messages not in known][:number]


def chain(options: argparse.Namespace, seed: int) -> list[Measured]:
    noise = 1.0 if options.shuffled else options.noise
    seeds = [f"recipes.{kind}.seed={seed}" for kind in ("reward_model", "ppo")]
    with tempfile.TemporaryDirectory(prefix="rankloop-loop-") as home:
        demo = Demo(Path(home), seed=seed, noise=noise)
        try:
            chosen = [*seeds, f"max_rounds={options.rounds}", *options.set]
            manage(demo.state, "set_loop", PROJECT, "--on", "--set", *chosen)
            policies = demo.run_rounds(options.rounds)
            return measured(demo, policies, fresh_prompts(options.prompts, seed))
        finally:
            demo.stop()


def show(rows: Sequence[Measured]) -> None:
    for row in rows:
        half = 1.96 * row.error
        print(
            f"| {row.seed} | {row.number} | {row.state} | {row.policy} | {row.gold:.3f} | {row.win_rate:.3f} "
            f"({row.win_rate - half:.3f} to {row.win_rate + half:.3f}) | {row.reason} |",
            flush=True,
        )


WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 320, 56, 40, 16
COLOURS = ("#0f6a70", "#b3541e", "#5b4b9a", "#7a6a1f", "#a03060")


def plot(rows: Sequence[Measured], rounds: int) -> str:
    """The win rates as an SVG file: a line per seed, with intervals."""

    def across(number: float) -> float:
        return LEFT + (WIDTH - LEFT - 24) * number / rounds

    def down(rate: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - rate) / 0.7  # from 0.3 to 1

    text = 'font-family="sans-serif" font-size="12" fill="#444"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for rate in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        stroke = "#888" if rate == 0.5 else "#e4e7e7"
        height = down(rate)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - 24}" stroke="{stroke}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end" {text}>{rate:.1f}</text>')
    for number in range(rounds + 1):
        label = f"round {number}" if number else "first policy"
        place = f'x="{across(number):.1f}" y="{HEIGHT - 16}"'
        parts.append(f'<text {place} text-anchor="middle" {text}>{label}</text>')
    seeds = sorted({row.seed for row in rows})
    for colour, seed in zip(COLOURS, seeds, strict=False):
        mine = [row for row in rows if row.seed == seed]
        points = [(0.0, 0.5), *((float(row.number), row.win_rate) for row in mine)]
        line = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in points)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for row in mine:
            x, half = across(row.number), 1.96 * row.error
            low, high = down(row.win_rate - half), down(row.win_rate + half)
            parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{down(row.win_rate):.1f}" r="3.5" fill="{colour}"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the loop")
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| seed | round | result | production policy | gold reward | win rate | reason |")
    print("|---|---|---|---|---|---|---|", flush=True)
    rows: list[Measured] = []
    for seed in options.seeds:
        found = chain(options, seed)
        show(found)
        rows += found
    if options.plot:
        options.plot.write_text(plot(rows, options.rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
