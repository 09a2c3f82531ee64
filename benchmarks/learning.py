"""How well a reward model learns: from how many comparisons, from noisy annotators, and from real people.

    .venv/bin/python -m benchmarks.learning [world real] [--docs docs] [--seeds 1 2 3] [--rankings 40 120 360]

Writes docs/reward-learning.md, its plots (docs/images/learning-*.svg) and the figures they are drawn from
(docs/reward-learning.json); a part that isn't asked for is drawn from the figures that are there. One thread;
seconds are CPU seconds. The parts say in the document what they do: `world` is the demo world, where right
is known, `real` needs the folder of real data beside the repository.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from benchmarks import learning_page, real_rankings
from benchmarks.reward_model import pairs_of
from training.rlhf import reward_model, sft, world
from training.rlhf.answer_link import AnswerLink
from training.rlhf.batching import Group
from training.rlhf.data import Ranking
from training.rlhf.heldout import score_rankings
from training.rlhf.loading import Loaded, load_reward_model, save_model
from training.rlhf.recipe import seed_everything
from training.rlhf.recipes import RewardModelConfig, SFTConfig
from training.rlhf.resampling import Estimate
from training.rlhf.reward_report import report_on
from training.rlhf.scored import ScoredRankings
from training.rlhf.scoring import load_for_training
from training.rlhf.uncertainty import beliefs, load_uncertainty
from training.rlhf.world.scenario import draw_conversations

ANNOTATORS, NOISY = 10, 2
RESPONSES = 4
FRESH_RANKINGS = 200  # of the demo world, ranked by gold
WORLD_RECIPE = {"epochs": 3, "batch_rankings": 8, "keep": "last"}
# Who ranks, and what the recipe says beyond WORLD_RECIPE. With an `uncertainty` the same model is judged
# twice: by its scores alone, and by what it believes of them.
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "clean": ("clean", {"uncertainty": "heads"}),
    "noisy": ("noisy", {"uncertainty": "heads"}),
    "noisy, CrowdBT": ("noisy", {"annotators": "crowd_bt"}),
}
REAL_RECIPE = {"epochs": 1, "batch_rankings": 16, "keep": "last", "learning_rate": 5e-4, "max_length": 320}
REAL_VOCABULARY, REAL_WIDTH, REAL_LAYERS = 4096, 128, 2


@dataclass(frozen=True)
class Point:
    """One model of the demo world: trained on this many rankings, judged on fresh ones that gold ranked."""

    way: str
    seed: int
    rankings: int
    comparisons: int
    accuracy: float
    ece: float
    log_loss: float
    seconds: float


def world_rankings(n: int, seed: int, *, noisy: bool) -> list[Ranking]:
    """``n`` prompts, four answers each in styles drawn as in the demonstrations, ordered by gold; answers of
    the same gold are tied. Of ten annotators the first two, where ``noisy``, order at random."""
    draw = random.Random(f"learning {seed}")
    rankings = []
    for number, (scenario, messages) in enumerate(draw_conversations(n, draw)):
        texts = list(
            dict.fromkeys(world.respond(scenario, world.replies.draw_style(draw), draw) for _ in range(9))
        )[:RESPONSES]
        gold = [world.gold_reward(messages, text) for text in texts]
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
    """A policy of the demo world after a short SFT, from which every reward model starts."""
    tokenizer = world.build_tokenizer()
    policy = world.build_policy(tokenizer, seed=0, hidden=128)
    out = folder / "trunk"
    sft.train(
        SFTConfig(heldout_share=0, sample_prompts=0),
        base_model=Loaded(policy, tokenizer),
        demonstrations=world.demonstrations(2500, seed=0),
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
                        config,  # noqa: B023 - called at once
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
                            comparisons_in(pool[:count]),
                            accuracy,
                            ece,
                            log_loss,
                            round(spent, 1),
                        )
                    )
                    say(str(points[-1]))
    return {"points": [asdict(point) for point in points], "fresh": FRESH_RANKINGS, "recipe": WORLD_RECIPE}


def judged(folder: Path, fresh: Sequence[Ranking]) -> Iterator[tuple[str, float, float, float]]:
    """(what was asked, accuracy, ECE, log loss) on all pairs of which gold prefers one: by the scores, where
    P(i > j) is that somebody says so who says what they mean, and by the ensemble where there is one."""
    loaded, items = load_reward_model(folder), [(r.messages, r.responses) for r in fresh]
    scores = reward_model.score(loaded.model, loaded.tokenizer, items)
    yield "", *agreement([torch.sigmoid(s[:, None] - s) for s in scores], fresh)
    doubt = load_uncertainty(folder)
    if doubt is not None:
        believed = beliefs(loaded.model, loaded.tokenizer, items, doubt)
        yield ", ensemble of heads", *agreement([belief.preference() for belief in believed], fresh)


def agreement(chances: Sequence[torch.Tensor], rankings: Sequence[Ranking]) -> tuple[float, float, float]:
    """Accuracy, ECE over ten bins (each pair in both orders) and log loss in nats of (K, K) P(i > j)."""
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


def comparisons_in(rankings: Sequence[Ranking]) -> int:
    """Pairs of which one was preferred."""
    return sum(len(a) * len(b) for ranking in rankings for a, b in itertools.combinations(ranking.tiers, 2))


def real_trunk(folder: Path, rankings: Sequence[Ranking]) -> Path:
    """A byte-level BPE of the training texts, and a Llama with random weights: it knows nothing."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        (text for r in rankings for text in (*r.responses, *(m["content"] for m in r.messages))),
        trainers.BpeTrainer(
            vocab_size=REAL_VOCABULARY,
            special_tokens=["<pad>", "<eos>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=REAL_VOCABULARY,
        hidden_size=REAL_WIDTH,
        intermediate_size=352,
        num_hidden_layers=REAL_LAYERS,
        num_attention_heads=4,
        max_position_embeddings=2048,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return save_model(LlamaForCausalLM(config), tokenizer, folder / "trunk")


def measure_real(trunk: Path | None, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    oasst, qa = (
        real_rankings.split(real_rankings.oasst_trees()),
        real_rankings.split(real_rankings.qa_feedback()),
    )
    train = [*real_rankings.hh_helpful("train"), *oasst[0], *qa[0]]
    random.Random(0).shuffle(train)
    train = train[:rows]
    heldout = [*real_rankings.hh_helpful("test"), *oasst[1], *qa[1]]
    found: dict[str, Any] = {"train": len(train), "comparisons": comparisons_in(train), "ways": {}}
    with tempfile.TemporaryDirectory() as folder:
        base = trunk or real_trunk(Path(folder), train)
        config = RewardModelConfig.model_validate(REAL_RECIPE)
        fresh = load_for_training(base)
        groups, found["left_out"], found["prompts_cut"] = encode(config, fresh.tokenizer, train)
        found["weights"] = sum(p.numel() for p in fresh.model.parameters())
        scorable = encodable(config, fresh.tokenizer, heldout)
        found["heldout"] = len(scorable)

        floor, seconds = timed(lambda: tf_idf(train, scorable))
        found["ways"]["TF-IDF"] = accuracies(floor, scorable) | {"seconds": seconds, "tokens": None}
        say(str(found["ways"]["TF-IDF"]))

        result, seconds = timed(
            lambda: reward_model.train(
                config, base_model=base, rankings=train, heldout=scorable[:1], out_dir=Path(folder) / "ours"
            )
        )
        tokens = sum(group.packed_tokens for group in groups)
        scored = score_rankings(result.path, scorable)[0]
        found["ways"]["Rankloop"] = accuracies(scored, scorable) | {"seconds": seconds, "tokens": tokens}
        say(str(found["ways"]["Rankloop"]))

        (loaded, tokens), seconds = timed(lambda: trl_on(config, base, groups, Path(folder)))
        scored = score_rankings(loaded, scorable)[0]
        found["ways"]["TRL"] = accuracies(scored, scorable) | {"seconds": seconds, "tokens": tokens}
        say(str(found["ways"]["TRL"]))
    return found


def encodable(
    config: RewardModelConfig, tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking]
) -> list[Ranking]:
    """Those that say something and fit, so that all are judged on the same."""
    return [r for r in rankings if encode(config, tokenizer, [r])[0]]


def encode(
    config: RewardModelConfig, tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking]
) -> tuple[list[Group], dict[str, int], int]:
    return reward_model.encode_rankings(rankings, tokenizer, max_length=config.max_length, ties=config.ties)


def trl_on(
    config: RewardModelConfig, base: Path, groups: Sequence[Group], folder: Path
) -> tuple[Loaded, int]:
    """TRL's RewardTrainer on every pair of the same ids, as many pairs a step as ours has on average, the
    same rates: the same number of steps."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    seed_everything(config.seed)  # the same new head
    loaded = load_for_training(base)
    rows = pairs_of(groups)
    steps = -(-len(groups) // config.batch_rankings) * config.epochs
    trainer = RewardTrainer(
        model=loaded.model,
        args=RewardConfig(
            output_dir=str(folder / "trl"),
            per_device_train_batch_size=-(-len(rows) * config.epochs // steps),
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate or 0.0,
            lr_scheduler_type="cosine",
            warmup_steps=round(config.warmup_fraction * steps),
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            center_rewards_coefficient=config.centring,
            bf16=False,
            gradient_checkpointing=False,
            optim="adamw_torch_fused",
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            max_length=None,
            use_cpu=True,
        ),
        processing_class=loaded.tokenizer,
        train_dataset=Dataset.from_list(rows),
    )
    trainer.train()
    loaded.model.train(False)
    return loaded, sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)


def tf_idf(train: Sequence[Ranking], heldout: Sequence[Ranking]) -> ScoredRankings:
    """The floor of the data's README: Bradley–Terry on words, pairs of words and length, by logistic
    regression on the differences."""
    import numpy as np
    import scipy.sparse as sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    words.fit(text for r in train for text in r.responses)

    def features(texts: Sequence[str]) -> Any:
        lengths = np.log1p([[len(text.split())] for text in texts])
        return sparse.hstack([words.transform(texts), sparse.csr_matrix(lengths)]).tocsr()

    rows = []
    for ranking in train:
        of = features(ranking.responses)
        tiers = ranking.tier_of_each()
        rows += [of[i] - of[j] for i, a in enumerate(tiers) for j, b in enumerate(tiers) if a < b]
    both = sparse.vstack([*rows, *(-row for row in rows)])
    fitted = LogisticRegression(fit_intercept=False, max_iter=1000).fit(both, np.repeat([1, 0], len(rows)))
    rewards = [(features(r.responses) @ fitted.coef_[0]).tolist() for r in heldout]
    return ScoredRankings.of(heldout, rewards, AnswerLink())


def accuracies(scored: ScoredRankings, rankings: Sequence[Ranking]) -> dict[str, Any]:
    """Accuracy with its interval, of everything and by set, and ECE."""
    whole = report_on(scored)
    by_set = {part.of: part for part in whole.slices if part.by == "source"}
    cells = {"all": cell(whole.accuracy, whole.pairs)}
    cells |= {name: cell(part.accuracy, part.pairs) for name, part in by_set.items()}
    return {"accuracy": cells, "ece": whole.calibration.preference.ece.value}


def cell(estimate: Estimate, pairs: int) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "pairs": pairs}


def timed(step: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = step()
    return result, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="world, real; both if none is named")
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parents[1] / "docs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rankings", type=int, nargs="+", default=[40, 120, 360])
    parser.add_argument("--rows", type=int, default=1000, help="train on so many of the real rankings")
    parser.add_argument("--trunk", type=Path, help="a model folder for the real data, in place of a new one")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    kept = asked.docs / "reward-learning.json"
    figures = learning_page.figures_in(asked.docs)

    def keep(part: str, measured: dict[str, Any]) -> None:
        figures[part] = measured
        kept.write_text(json.dumps(figures, indent=1) + "\n")

    def say(line: str) -> None:
        print(line, flush=True)

    parts = asked.parts or ["world", "real"]
    if "world" in parts:
        keep("world", measure_world(asked.seeds, asked.rankings, say))
    if "real" in parts and real_rankings.available():
        keep("real", measure_real(asked.trunk, asked.rows, say))
    learning_page.write(figures, asked.docs)


if __name__ == "__main__":
    main()
