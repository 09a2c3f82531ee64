"""Measure the gain from rejection sampling, compared with control selections of the same candidates.

    .venv/bin/python -m benchmarks.rejection_sampling [--seeds 101] [--demonstrations 9500] [--rankings 600]
        [--prompts 256] [--samples 8] [--fresh 300] [--rounds 3]

For each seed, the benchmark trains a policy (`sft`) and a reward model on rankings of the policy's answers by
the gold reward. A run of rejection sampling then writes its candidates. The first policy is fine-tuned on
different selections of these candidates, with the same settings and the same number of rows:

- best: the run itself.
- random: a random finished answer to each prompt. The policy then imitates itself and should gain nothing.
- worst: the finished answer with the lowest reward. The policy should get worse.

A separate run takes several rounds (RAFT) from the same first policy.

All policies answer the same new prompts four times each. The benchmark prints the gold reward (0–4 points)
with its standard error, and the gain over the first policy. The gain's standard error is computed from the
differences per prompt. The benchmark also prints the run's best-of-n curve, in rewards of the reward model
and in gold rewards.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.methods import PROJECT_PROMPTS, ranked
from training import demo_world
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import NullReporter
from training.rlhf.core.seeds import seed_everything
from training.rlhf.data.candidates import Candidate, read_candidates
from training.rlhf.data.demonstrations import Row
from training.rlhf.generation import sampling
from training.rlhf.generation.evaluation import Evaluation, compare, evaluate
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.policy import rejection_sampling, sft
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward import reward_model
from training.rlhf.selection.selection import kl_of_best_of

Choose = Callable[[Sequence[Candidate]], Candidate]


def score_of(one: Candidate) -> float:
    assert one["score"] is not None
    return one["score"]


def rows_by(choose: Choose, candidates: Path) -> list[Row]:
    """Return one finished answer to each prompt that has a finished answer. All selections therefore have the
    same prompts."""
    rows = []
    for line in read_candidates(candidates):
        finished = [one for one in line["candidates"] if one["finished"] and one["score"] is not None]
        if finished:
            rows.append(Row(line["prompt_ids"], choose(finished)["ids"]))
    return rows


def tuned(config: RejectionSamplingConfig, start: Path, rows: Sequence[Row]) -> Loaded:
    policy = load_policy(start)
    config = rejection_sampling.with_learning_rate(config, policy.model)
    seed_everything(config.seed)
    optimiser = sft.new_optimizer(policy.model, config)
    sft.fit(config, *policy, rows, NullReporter(), optimiser=optimiser)
    return policy


def measure(seed: int, options: argparse.Namespace, folder: Path) -> None:
    started = time.monotonic()
    prompts: list[Messages] = demo_world.prompts(PROJECT_PROMPTS, seed=seed)
    found = demo_world.prompts(options.fresh + PROJECT_PROMPTS, seed=10_000 + seed)
    fresh = [messages for messages in found if messages not in prompts][: options.fresh]
    tokenizer = demo_world.build_tokenizer()
    base = Loaded(demo_world.build_policy(tokenizer, seed=seed), tokenizer)
    demonstrations = demo_world.demonstrations(options.demonstrations, seed)
    start = sft.train(
        SFTConfig(seed=seed), base_model=base, demonstrations=demonstrations, out_dir=folder / "sft"
    ).path
    sampled = sampling.sample(SampleConfig(seed=seed), policy=start, prompts=prompts[: options.rankings])
    judge = reward_model.train(
        RewardModelConfig(seed=seed),
        base_model=start,
        rankings=ranked(sampled, noise=0.1, seed=seed),
        out_dir=folder / "rm",
    ).path
    config = RejectionSamplingConfig(seed=seed, samples_per_prompt=options.samples, sample_prompts=0)
    shown = random.Random(seed).sample(prompts, options.prompts)

    def run(config: RejectionSamplingConfig, name: str) -> rejection_sampling.RejectionSamplingResult:
        return rejection_sampling.train(
            config,
            policy=start,
            reward_model=judge,
            prompts=shown,
            out_dir=folder / name,
            gold=demo_world.gold_reward,
            candidates=folder / f"{name}.jsonl.gz",
        )

    result = run(config, "best")
    candidates, chance = folder / "best.jsonl.gz", random.Random(f"control {seed}")
    policies: dict[str, ModelSource] = {
        "best": result.path,
        "random": tuned(config, start, rows_by(chance.choice, candidates)),
        "worst": tuned(config, start, rows_by(lambda answers: min(answers, key=score_of), candidates)),
    }
    if options.rounds > 1:
        again = config.model_copy(update={"rounds": options.rounds})
        policies[f"{options.rounds} rounds"] = run(again, "rounds").path

    def gold_of(policy: ModelSource) -> Evaluation:
        judged = EvaluateConfig(seed=seed, responses_per_prompt=4)
        return evaluate(judged, policy=policy, prompts=fresh, judge=demo_world.gold_reward)

    first = gold_of(start)
    print(f"seed {seed}: first policy {first.mean:.3f} ± {first.standard_error:.3f}")
    for name, policy in policies.items():
        reached = gold_of(policy)
        gain = compare(reached, first)
        print(
            f"  {name:10} {reached.mean:.3f} ± {reached.standard_error:.3f}"
            f"   gain {gain.difference:+.3f} ± {gain.standard_error:.3f}"
        )
    print("  best of n    KL bound    reward      gold")
    for n, value in result.best_of.items():
        print(f"  {n:9} {kl_of_best_of(n):11.3f} {value:9.3f} {result.gold_best_of[n]:9.3f}")
    print(f"  {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101])
    parser.add_argument("--demonstrations", type=int, default=9_500)
    parser.add_argument("--rankings", type=int, default=600)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--fresh", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            measure(seed, options, Path(folder))


if __name__ == "__main__":
    main()
