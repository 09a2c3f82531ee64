"""Run the whole loop with SmolLM2-135M-Instruct from the browser, and measure the gains.

    .venv/bin/python -m benchmarks.smollm2.loop MODEL --data DATA --out OUT [--small]

MODEL is the folder that `benchmarks.smollm2.convert` wrote. DATA contains the public data that `files.py`
lists. The walkthrough needs Chromium and the built page (`scripts/up` builds it), and takes about an hour on
two processors.

An admin creates a project in a temporary embedded stack, imports demonstrations and prompts, and launches
each run with the launch form: sft, sample, reward_model, rejection_sampling, ppo and dpo. Two simulated
annotators rank the sampled answers through the API. They apply the rule in `annotator.py`, with errors. The
base model, the SFT policy and every improved policy answer the test prompts in a `sample` run each. An
`evaluate` run scores new answers of each policy, except the base model, with the reward model. Screenshots of
the pages, `report.json`, and `report.md` with figures and sample texts are written to OUT.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks.requests import manage, start_stack
from benchmarks.smollm2 import files, prompts
from benchmarks.smollm2.annotator import careless
from benchmarks.smollm2.pages import WIDE, Admin, Watched
from benchmarks.smollm2.report import Answers, write_report
from embedded.state import StateFolder
from scripts.browser import chromium, log_in
from training.simulation.annotators import annotate

PROJECT = "smollm2"
GUIDELINES = """\
Put the best answer first. A good answer

1. is **complete**: it does not stop in the middle of a sentence,
2. is **short**: one or two sentences,
3. is about the question, and repeats nothing.
"""
ANNOTATORS = ("ann", "ben")
SPREAD = 0.3  # standard deviation of an annotator's error, in points
RANDOM_SHARE = 0.05  # share of an annotator's rankings with a random order
TEST_ANSWERS = 4  # number of answers per test prompt and policy
ASKED = ("sample-written", "sample-public")  # the runs whose answers are ranked
LAST = -1000  # priority of the tasks with test prompts; nobody ranks these tasks
BASE = "SmolLM2"
SNAPSHOT = "agreed"


@dataclass(frozen=True)
class Size:
    """The numbers of demonstrations, prompts, tokens and steps in the walkthrough."""

    demonstrations: int = 200
    public_prompts: int = 22
    long_prompts: int = 2
    tokens: int = 64
    test_prompts: int = len(prompts.TEST)
    ppo_steps: int = 6
    rollout_prompts: int = 6


SMALL = Size(demonstrations=16, public_prompts=4, long_prompts=1, tokens=12, test_prompts=4, ppo_steps=3)
CHOSEN_RATE = 2e-4  # learning rate of the LoRA adapters; the default rates suit runs with more steps


@dataclass
class Walk:
    admin: Admin
    state: Path
    size: Size
    diary: Path  # progress so far, from which an interrupted walkthrough continues
    watched: dict[str, Watched] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def models(self) -> dict[str, str]:
        """Maps the name of each run to the name of the model that the run created."""
        made = {name: one.run["result"].get("model") for name, one in self.watched.items()}
        return {name: model["name"] for name, model in made.items() if model}

    def remember(self) -> None:
        done = {"watched": {name: asdict(one) for name, one in self.watched.items()}, "facts": self.facts}
        self.diary.write_text(json.dumps(done | {"n_shots": self.admin.n_shots}))

    def continue_from(self, diary: Path) -> None:
        done = json.loads(diary.read_text())
        self.watched = {name: Watched(**one) for name, one in done["watched"].items()}
        self.facts, self.admin.n_shots = done["facts"], done["n_shots"]

    def run(self, name: str, kind: str, settings: dict[str, Any], **inputs: str) -> Watched:
        if name in self.watched:
            return self.watched[name]
        began = time.monotonic()
        estimate = self.admin.launch(name, kind, inputs, settings)
        found = self.admin.wait(name, estimate)
        if found.run["state"] != "succeeded":
            print(f"{name} {found.run['state']}: {found.run['failure']}", flush=True)
            return found
        self.watched[name] = found
        self.remember()
        peak = found.run["result"]["machine"]["peak_bytes"] / 1e9
        print(f"{name:12} {time.monotonic() - began:6.0f} s  peak {peak:.1f} GB", flush=True)
        return found

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        running = StateFolder(self.state).running()
        assert running is not None
        with psycopg.connect(running.database_url, row_factory=dict_row) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def test(self, name: str, settings: dict[str, Any], **inputs: str) -> None:
        """Let a policy answer the test prompts. Nobody ranks these answers."""
        self.run(
            name,
            "sample",
            {
                "max_prompts": self.size.test_prompts,
                "responses_per_prompt": TEST_ANSWERS,
                "max_new_tokens": self.size.tokens,
                "prompt_filter": "set=test",
                "priority": LAST,
                **settings,
            },
            **inputs,
        )

    def rank(self, url: str) -> None:
        """Two annotators, who make independent errors, rank the answers to all training prompts. The first
        annotator also opens the desk. The majority order of each task is frozen in a snapshot."""
        if SNAPSHOT in self.facts:
            return
        sampled = [
            one.run["result"]["counts"]["tasks"] for name, one in self.watched.items() if name in ASKED
        ]
        users = {
            name: manage(self.state, "create_user", name, "--project", PROJECT, "--role", "annotator")
            for name in ANNOTATORS
        }
        self.look_at_the_desk(url, ANNOTATORS[0], str(users[ANNOTATORS[0]]["password"]))
        for seed, (name, user) in enumerate(users.items()):
            tally = annotate(
                url=url,
                project=PROJECT,
                tokens={name: str(user["token"])},
                judge=careless(SPREAD, name),
                noise=RANDOM_SHARE,
                limit=sum(sampled),
                seed=seed,
            )
            self.facts[f"rankings by {name}"] = tally.rankings
        self.admin.open("quality")
        self.admin.shoot("quality")
        selection = ("--name", SNAPSHOT, "--aggregation", "majority")
        self.facts[SNAPSHOT] = manage(self.state, "freeze_snapshot", "--project", PROJECT, *selection)
        self.remember()

    def look_at_the_desk(self, url: str, name: str, password: str) -> None:
        browser = self.admin.page.context.browser
        assert browser is not None
        page = log_in(browser, url, name, password, viewport=WIDE)
        desk = Admin(page, PROJECT, self.admin.shots, n_shots=self.admin.n_shots)
        desk.open("rank")
        page.get_by_test_id("response-card").first.wait_for()
        desk.shoot("desk", whole=False)
        self.admin.n_shots = desk.n_shots
        page.context.close()

    def answers(self) -> list[Answers]:
        """The answers to the test prompts, one row for each policy and prompt."""
        found = self.rows(
            "select r.model_name as model, p.messages, array_agg(r.text order by r.id) as texts,"
            " array_agg(r.sampling order by r.id) as sampling"
            " from annotation_response r join annotation_prompt p on p.id = r.prompt_id"
            " where p.metadata->>'set' = 'test' and r.model_name <> '' group by 1, p.id, 2 order by p.id"
        )
        return [Answers(**row) for row in found]


def walk(model: Path, data: Path, url: str, state: Path, out: Path, size: Size) -> None:
    diary = out / "walk.json"
    name = f"admin-{time.strftime('%H%M')}" if diary.exists() else "admin"
    password = str(manage(state, "create_user", name, "--admin")["password"])
    with chromium() as browser:
        page = log_in(browser, url, name, password, viewport=WIDE)
        shots = out / "shots"
        shots.mkdir(parents=True, exist_ok=True)
        trip = Walk(Admin(page, PROJECT, shots), state, size, diary)
        if diary.exists():
            trip.continue_from(diary)
        try:
            go(trip, model, data, url, out)
        finally:
            folders = {name: str(state / "artefacts" / "models" / made) for name, made in trip.models.items()}
            metrics = {
                name: trip.admin.get(f"runs/{one.run['id']}/metrics")["results"]
                for name, one in trip.watched.items()
            }
            write_report(
                out,
                watched={name: asdict(one) for name, one in trip.watched.items()},
                metrics=metrics,
                folders=folders,
                answers=trip.answers(),
                names={str(model.resolve()): BASE} | {made: name for name, made in trip.models.items()},
                facts=trip.facts,
            )


def go(trip: Walk, model: Path, data: Path, url: str, out: Path) -> None:
    admin, size, facts = trip.admin, trip.size, trip.facts
    if not facts:
        admin.create_project("SmolLM2 assistant", GUIDELINES, overlap=len(ANNOTATORS))
        admin.shoot("project")
        demonstrations, asked = out / "demonstrations.jsonl", out / "prompts.jsonl"
        facts["demonstrations"] = files.write_demonstrations(demonstrations, data, size.demonstrations)
        facts["prompts"] = files.write_prompts(
            asked, data, public=size.public_prompts, long=size.long_prompts
        )
        facts["import of demonstrations"] = admin.bring_in(demonstrations)
        facts["import of prompts"] = admin.bring_in(asked)
        admin.shoot("data")

    base = str(model.resolve())
    short = {"sample_tokens": size.tokens}
    rollout = {"max_new_tokens": size.tokens, "prompt_filter": "set=train"}
    adapter = {"use_peft": True}
    trip.test("base-test", {"base_model": base})
    trip.run(
        "sft",
        "sft",
        {"base_model": base, "demonstrations": "imported", "batch_size": 8, "max_length": 512, **short},
    )
    start = trip.models["sft"]
    trip.test("sft-test", {}, policy=start)
    for name, source, priority in zip(ASKED, ("written", "public"), (20, 10), strict=True):
        asking = {
            "max_new_tokens": size.tokens,
            "prompt_filter": f"set=train, source={source}",
            "max_prompts": 1000,
            "responses_per_prompt": 4,
            "overlap": len(ANNOTATORS),
            "priority": priority,
        }
        trip.run(name, "sample", asking, policy=start)
    trip.rank(url)
    trip.run("rm", "reward_model", {**adapter, "batch_rankings": 8}, policy=start, snapshot=SNAPSHOT)
    judge = trip.models["rm"]
    admin.open(f"models/{trip.watched['rm'].run['result']['model']['id']}")
    admin.page.get_by_text("Calibration").first.wait_for()
    admin.shoot("reward-report")
    trip.run(
        "rs",
        "rejection_sampling",
        {**rollout, **adapter, **short, "samples_per_prompt": 6, "batch_size": 8},
        policy=start,
        reward_model=judge,
    )
    trip.run(
        "ppo",
        "ppo",
        {
            **rollout,
            **adapter,
            "steps": size.ppo_steps,
            "rollout_prompts": size.rollout_prompts,
            "responses_per_prompt": 4,
            "kl_coefficient": 0.1,
            "learning_rate": CHOSEN_RATE,
            "sample_every": max(1, size.ppo_steps // 2),
        },
        policy=start,
        reward_model=judge,
    )
    trip.run(
        "dpo",
        "dpo",
        {**adapter, **short, "batch_rankings": 8, "learning_rate": CHOSEN_RATE, "kl_samples": 32},
        policy=start,
        snapshot=SNAPSHOT,
    )
    improved = [name for name in ("rs", "ppo", "dpo") if name in trip.models]
    for name in improved:
        trip.test(f"{name}-test", {}, policy=trip.models[name])
    scored = {
        "judge": "reward_model",
        "split": "all",
        "prompt_filter": "set=test",
        "max_new_tokens": size.tokens,
        "responses_per_prompt": 2,
    }
    for name in ("sft", *improved):
        trip.run(f"{name}-evaluate", "evaluate", scored, policy=trip.models[name], reward_model=judge)
    for path in ("models", "runs", "tasks", ""):
        admin.open(path)
        admin.shoot(path or "overview")


@contextmanager
def stack(state: Path, output: Path) -> Iterator[str]:
    process, url = start_stack(state, output)
    try:
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--small", action="store_true", help="use only a few prompts and steps, as a quick test"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    state = (given.out / "state").resolve()
    with stack(state, given.out / "stack.log") as url:
        walk(given.model, given.data, url, state, given.out, SMALL if given.small else Size())


if __name__ == "__main__":
    main()
