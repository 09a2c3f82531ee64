"""Measure the benefit and cost of modelling the uncertainty of rewards when there are few rankings.

    .venv/bin/python -m benchmarks.uncertainty --policy FOLDER [--rankings 50 150 450] [--seeds 1 2 3]

FOLDER contains a policy of the demo world (the demo's is `artefacts/models/demo-sft-1` in the state folder).
The policy answers prompts of the demo world. Simulated annotators rank the answers according to a
Plackett–Luce model of the gold reward. The true probability of every preference is therefore known.

For each seed, number of rankings and kind of uncertainty, a reward model is trained with the default recipe
and this kind of uncertainty. The benchmark then predicts P(i ≻ j) for pairs of answers to prompts that were
not used in training, once from the scores alone and once with each kind of uncertainty.

The benchmark compares these predictions with the true probabilities and reports the expected calibration
error and log loss. The benchmark also reports the processor time for fitting the uncertainty, relative to
that for training.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import demo_world
from training.rlhf.data.rankings import Ranking
from training.rlhf.generation import sampling
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.recipes.answers import SampleConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import beliefs, reward_model, scoring, uncertainty
from training.rlhf.reward.scoring import load_for_training

POINTS = 1.5  # for a simulated annotator, the number of reward units per gold point
FRESH = 300  # number of evaluation prompts


def ranked(asked: sampling.SampledPrompt, draw: np.random.Generator) -> tuple[Ranking, np.ndarray]:
    """One annotator's ranking, and the rewards from which it was drawn."""
    texts = tuple(text for text, _ in asked.responses)
    true = POINTS * np.array([demo_world.gold_reward(asked.messages, text) for text in texts])
    order = np.argsort(-(true + draw.gumbel(size=len(true))))
    return Ranking(tuple(asked.messages), texts, tuple((int(i),) for i in order)), true


def calibration_error(said: np.ndarray, true: np.ndarray, bins: int = 10) -> float:
    said, true = np.concatenate([said, 1 - said]), np.concatenate([true, 1 - true])
    place = np.minimum((said * bins).astype(int), bins - 1)
    return float(sum(abs((said - true)[place == n].sum()) for n in range(bins)) / len(said))


def judge(folder: Path, kind: str | None, fresh: list[tuple[Ranking, np.ndarray]]) -> dict[str, float]:
    model, tokenizer = load_reward_model(folder)
    items = [(ranking.messages, ranking.responses) for ranking, _ in fresh]
    if kind is None:
        scores = scoring.score(model, tokenizer, items)
        chances = [torch.sigmoid(one[:, None] - one) for one in scores]
    else:
        found = uncertainty.load_uncertainty(folder)
        assert found is not None
        chances = [one.preference() for one in beliefs.beliefs_about(model, tokenizer, items, found)]
    said, true = [], []
    for (_, rewards), chance in zip(fresh, chances, strict=True):
        first, second = np.triu_indices(len(rewards), 1)
        said.append(chance.numpy()[first, second])
        true.append(1 / (1 + np.exp(rewards[second] - rewards[first])))
    p, q = np.concatenate(said).clip(1e-9, 1 - 1e-9), np.concatenate(true)
    return {"ece": calibration_error(p, q), "nats": float(-(q * np.log(p) + (1 - q) * np.log(1 - p)).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", required=True)
    parser.add_argument("--rankings", type=int, nargs="+", default=[50, 150, 450])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    torch.set_num_threads(1)
    fitting: list[float] = []
    fit = uncertainty.fit

    def timed(*given: Any, **named: Any) -> Any:
        started = time.process_time()
        found = fit(*given, **named)
        fitting.append(time.process_time() - started)
        return found

    uncertainty.fit = timed
    load_for_training(options.policy)  # excludes first-use imports from the measurement
    table: dict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    for seed in options.seeds:
        draw = np.random.default_rng(seed)
        prompts = demo_world.prompts(max(options.rankings) + FRESH, seed=seed)
        sampled = sampling.sample(SampleConfig(seed=seed), policy=options.policy, prompts=prompts)
        rankings = [ranked(asked, draw) for asked in sampled.prompts if len(asked.responses) > 1]
        fresh, shown = rankings[:FRESH], [ranking for ranking, _ in rankings[FRESH:]]
        for n in options.rankings:
            for kind in ("laplace", "heads"):
                fitting.clear()
                with tempfile.TemporaryDirectory() as folder:
                    started = time.process_time()
                    reward_model.train(
                        RewardModelConfig.model_validate({"seed": seed, "uncertainty": kind}),
                        base_model=options.policy,
                        rankings=shown[:n],
                        out_dir=Path(folder) / "rm",
                    )
                    whole = time.process_time() - started
                    share = fitting[0] / (whole - fitting[0])
                    if kind == "laplace":  # once, because the scores alone do not depend on the kind
                        table[n, "scores alone"].append(
                            judge(Path(folder) / "rm", None, fresh) | {"share": 0}
                        )
                    table[n, kind].append(judge(Path(folder) / "rm", kind, fresh) | {"share": share})
    print("| rankings | P(i ≻ j) predicted from | calibration error | log loss | extra processor time |")
    print("|---:|---|---:|---:|---:|")
    for (n, kind), rows in table.items():
        means = {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
        errors = statistics.stdev(row["ece"] for row in rows) if len(rows) > 1 else 0.0
        print(
            f"| {n} | {kind} | {means['ece']:.3f} ± {errors:.3f} | {means['nats']:.4f} "
            f"| {format(means['share'], '.1%') if means['share'] else ''} |"
        )


if __name__ == "__main__":
    main()
