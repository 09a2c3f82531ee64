"""Compare how much each method improves a policy.

    .venv/bin/python -m benchmarks.methods [--seeds 101 102 103 104 105] [--rankings 600] [--noise 0.1]
        [--prompts 400] [--kl-target NATS] [--methods dpo ppo …]

The steps are those of the demo, with default recipes. The seeds were not used for tuning. For each seed, the
benchmark trains a policy (`sft`) and ranks the policy's answers by the gold reward. A share of the rankings
(`--noise`) is in random order. The benchmark then trains a reward model and improves the first policy with
every method: rejection sampling, RLOO and PPO with the reward model, and DPO on the rankings. All policies
answer the same new prompts four times each.

The benchmark prints the gold reward (0–4 points) with its standard error, and the gain over the first policy.
The gain's standard error is computed from the differences per prompt. The benchmark also prints each policy's
KL divergence from the first policy, and the seconds of each step. For RLOO and PPO, it also prints
the highest mean KL of three consecutive steps, because the KL of a single step is noisy. It uses only the
library, without a database or server.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias, TypeVar

import torch

from preferences.text import storage_fault
from training import demo_world
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import NullReporter
from training.rlhf.data.answers import Row, lay_out_rows, shared_layout
from training.rlhf.data.rankings import Ranking
from training.rlhf.generation import sampling
from training.rlhf.generation.evaluation import Evaluation, compare, evaluate, mean_and_error
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward import reward_model

# The numbers of prompts, of demonstrations (as in the demo), and of prompts per improvement run.
PROJECT_PROMPTS, DEMONSTRATIONS, TRAINING_PROMPTS = 1200, 9_500, 512
FRESH_PROMPTS_SEED = 10_000  # added to the run's seed, so fresh prompts use a separate seed
Result = TypeVar("Result")
METHODS = ("rejection_sampling", "dpo", "rloo", "ppo", "ppo-16")  # ppo-16 takes 16 steps
RewardsConfig: TypeAlias = RejectionSamplingConfig | RLOOConfig | PPOConfig


def timed(seconds: dict[str, float], name: str, step: Callable[[], Result]) -> Result:
    started = time.monotonic()
    result = step()
    seconds[name] = time.monotonic() - started
    return result


def ranked(sampled: sampling.Sampled, *, noise: float, seed: int) -> list[Ranking]:
    """Rankings ordered by the gold reward, except for a share (`noise`) of rankings in random order."""
    draw = random.Random(f"annotators {seed}")
    rankings = []
    for asked in sampled.prompts:
        # A weak policy occasionally samples a NUL character, which can't be stored. The platform also leaves
        # out such texts.
        texts = tuple(text for text, _ in asked.responses if not storage_fault(text))
        if len(texts) < 2:
            continue
        places = list(range(len(texts)))
        draw.shuffle(places)
        if draw.random() < noise:
            tiers = [(place,) for place in places]
        else:
            gold = [demo_world.gold_reward(asked.messages, text) for text in texts]
            places.sort(key=lambda place: -gold[place])
            tiers = [tuple(tier) for _, tier in itertools.groupby(places, key=lambda place: gold[place])]
        rankings.append(Ranking(tuple(asked.messages), texts, tuple(tiers)))
    return rankings


class StepKLs(NullReporter):
    """Records the KL of each step of an on-policy loop."""

    def __init__(self) -> None:
        self.kl: list[float] = []

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if "objective/kl" in values:
            self.kl.append(values["objective/kl"])

    def highest(self) -> str:
        means = [sum(self.kl[i : i + 3]) / 3 for i in range(len(self.kl) - 2)]
        return f"  highest mean KL of three steps {max(means):.2f}" if means else ""


def chain(
    seed: int,
    *,
    n_rankings: int,
    noise: float,
    n_fresh: int,
    kl_target: float | None,
    chosen: Sequence[str],
    folder: Path,
) -> None:
    seconds: dict[str, float] = {}
    prompts: list[Messages] = demo_world.prompts(PROJECT_PROMPTS, seed=seed)
    fresh = [
        messages
        for messages in demo_world.prompts(n_fresh + PROJECT_PROMPTS, seed=FRESH_PROMPTS_SEED + seed)
        if messages not in prompts
    ][:n_fresh]
    tokenizer = demo_world.build_tokenizer()
    base = Loaded(demo_world.build_policy(tokenizer, seed=seed), tokenizer)
    recipe = SFTConfig(seed=seed)
    demonstrations = demo_world.demonstrations(DEMONSTRATIONS, seed)
    policy = timed(
        seconds,
        "sft",
        lambda: (
            sft.train(recipe, base_model=base, demonstrations=demonstrations, out_dir=folder / "sft").path
        ),
    )
    asked = SampleConfig(seed=seed)
    sampled = timed(
        seconds, "sample", lambda: sampling.sample(asked, policy=policy, prompts=prompts[:n_rankings])
    )
    rankings = ranked(sampled, noise=noise, seed=seed)
    judge = timed(
        seconds,
        "reward_model",
        lambda: reward_model.train(
            RewardModelConfig(seed=seed), base_model=policy, rankings=rankings, out_dir=folder / "rm"
        ),
    )
    draw = random.Random(seed)
    drawn = draw.sample(prompts, TRAINING_PROMPTS)

    kls: dict[str, StepKLs] = {}

    def by_rewards(loop: ModuleType, config: RewardsConfig, name: str) -> Path:
        kls[name] = StepKLs()
        path: Path = loop.train(
            config,
            policy=policy,
            reward_model=judge.path,
            prompts=drawn,
            out_dir=folder / name,
            report=kls[name],
        ).path
        return path

    def by_dpo() -> Path:
        config = DPOConfig(seed=seed)
        return dpo.train(config, base_model=policy, rankings=rankings, out_dir=folder / "dpo").path

    controlled = {"seed": seed, "kl_target": kl_target}
    methods: dict[str, Callable[[], Path]] = {
        "rejection_sampling": lambda: by_rewards(
            rejection_sampling, RejectionSamplingConfig(seed=seed), "rejection_sampling"
        ),
        "dpo": by_dpo,
        "rloo": lambda: by_rewards(rloo, RLOOConfig.model_validate(controlled), "rloo"),
        "ppo": lambda: by_rewards(ppo, PPOConfig.model_validate(controlled), "ppo"),
        "ppo-16": lambda: by_rewards(ppo, PPOConfig.model_validate(controlled | {"steps": 16}), "ppo-16"),
    }
    four_answers = EvaluateConfig(responses_per_prompt=4, seed=seed)

    def gold_of(path: Path) -> Evaluation:
        return evaluate(four_answers, policy=path, prompts=fresh, judge=demo_world.gold_reward)

    first = gold_of(policy)
    print(f"seed {seed}, {len(rankings)} rankings, {len(fresh)} fresh prompts")
    print(f"  {'sft':20} {seconds['sft']:5.0f} s  gold {first.mean:.3f} ± {first.standard_error:.3f}")
    print(f"  {'sample':20} {seconds['sample']:5.0f} s")
    accuracy = judge.metrics["heldout/accuracy"]
    print(
        f"  {'reward_model':20} {seconds['reward_model']:5.0f} s  held-out pair accuracy {accuracy:.3f}",
        flush=True,
    )
    for name in chosen:
        path = timed(seconds, name, methods[name])
        new = gold_of(path)
        gain = compare(new, first)
        kl, error = kl_from(policy, path, new)
        print(
            f"  {name:20} {seconds[name]:5.0f} s  gold {new.mean:.3f} ± {new.standard_error:.3f}"
            f"  gain {gain.difference:+.3f} ± {gain.standard_error:.3f}  KL {kl:.2f} ± {error:.2f}"
            f"  tokens {new.mean_tokens:.1f}  finished {new.finished_share:.3f}"
            f"{kls[name].highest() if name in kls else ''}",
            flush=True,
        )


@torch.no_grad()
def kl_from(start: Path, path: Path, answers: Evaluation) -> tuple[float, float]:
    """Return the mean KL divergence of a policy from the starting policy, in nats per answer, and its
    standard error. The answers must come from the policy."""
    policies = [load_policy(one) for one in (path, start)]
    tokenizer = policies[0].tokenizer
    found: list[float] = []
    for row in answers.rows:
        prompt = chat.encode_prompt(tokenizer, row.messages)
        rows = [Row(prompt, chat.encode_response(tokenizer, text)) for text in row.responses]
        laid_out = lay_out_rows(
            rows,
            layout=shared_layout(*(one.model for one in policies)),
            pad_id=chat.pad_id(tokenizer),
            device=policies[0].model.device,
        )
        new, old = (
            laid_out.per_answer(token_log_probs(one.model, laid_out.inputs, temperature=1.0))
            for one in policies
        )
        found.append(float((new - old).sum(dim=1).mean()))
    return mean_and_error(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--rankings", type=int, default=600)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--kl-target", type=float, help="KL target of RLOO and PPO, in nats per answer")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(1)  # Rankloop's training runs also use one thread for a model of this size
    for seed in options.seeds:
        with tempfile.TemporaryDirectory(prefix="rankloop-loop-") as folder:
            chain(
                seed,
                n_rankings=options.rankings,
                noise=options.noise,
                n_fresh=options.prompts,
                kl_target=options.kl_target,
                chosen=options.methods,
                folder=Path(folder),
            )


if __name__ == "__main__":
    main()
