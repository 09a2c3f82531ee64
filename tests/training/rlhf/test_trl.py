"""Training on rankings of two responses is equivalent to TRL's RewardTrainer.

With the same weights, both trainers compute the same loss and gradients, and reach the same weights after
training. A model saved by TRL gives the same scores in Rankloop.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from trl import RewardConfig, RewardTrainer

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.models.parts.test_trunks import scores_here, scores_there
from tests.training.rlhf.reward.test_reward_model import RANKINGS
from training.rlhf.data.batching import Group
from training.rlhf.models.loading.opening import open_classifier
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.answer_model import AnswerModel, answer_key
from training.rlhf.reward.batch_loss import preference_loss
from training.rlhf.reward.encoding import encode_rankings
from training.rlhf.reward.reward_model import train
from training.rlhf.reward.scoring import batches, load_for_training, rewards_of

torch.set_num_threads(1)
STEPS, BATCH = 6, 4
PAIRS = [
    dataclasses.replace(r, responses=r.responses[:2], tiers=((n % 2,), (1 - n % 2,)), strength=1 + n % 3)
    for n, r in enumerate(RANKINGS[: STEPS * BATCH])
]
MARGINS = {1: 0.2, 2: 0.5, 3: 1.0}
SETTINGS = {
    "epochs": 1, "batch_rankings": BATCH, "learning_rate": 1e-3, "warmup_fraction": 0.0, "weight_decay": 0.0,
    "evaluations": 1, "keep": "last", "micro_batch_tokens": 60,
}  # fmt: skip
CENTRED = {"centring": 0.01, "schedule": "linear"}
WITH_MARGINS = {
    "centring": 0.0, "schedule": "cosine", "strength": "margin", "margins": "1=0.2, 2=0.5, 3=1",
    "max_grad_norm": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained reward model, from which both trainers start."""
    folder = tmp_path_factory.mktemp("start")
    policy = save_model(tiny.policy(), tiny.tokenizer(), folder / "policy")
    torch.manual_seed(7)
    return save_model(*load_for_training(policy), folder / "start")


@pytest.fixture(scope="module")
def start_adapter(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(8)
    config = RewardModelConfig.model_validate({"use_peft": True, "lora_r": 4})
    model, tokenizer = load_for_training(start, config)
    return save_model(model, tokenizer, tmp_path_factory.mktemp("adapter") / "start", merge=False)


@pytest.fixture(scope="module")
def start_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    trunk = save_model(tiny.bert(), tiny.encoder_tokenizer(), folder / "trunk")
    torch.manual_seed(9)
    return save_model(*load_for_training(trunk), folder / "start")


def config_of(settings: dict[str, Any]) -> RewardModelConfig:
    return RewardModelConfig.model_validate(SETTINGS | settings)


def examples(groups: list[Group], config: RewardModelConfig) -> list[dict[str, Any]]:
    """Convert token groups to TRL's prepared format, with the preferred response first."""
    rows = []
    for group, pair in zip(groups, PAIRS, strict=True):
        chosen, rejected = (group.responses[i] for i in (pair.tiers[0][0], pair.tiers[1][0]))
        row: dict[str, Any] = {
            "chosen_ids": group.prompt + chosen,
            "rejected_ids": group.prompt + rejected,
        }
        rows.append(row | ({"margin": MARGINS[pair.strength or 0]} if config.strength == "margin" else {}))
    return rows


def their_trainer(
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]], out: Path, **settings: Any
) -> RewardTrainer:
    config = RewardConfig(
        output_dir=str(out), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
        save_strategy="no", logging_steps=1, disable_tqdm=True, train_sampling_strategy="sequential",
        optim="adamw_torch_fused", num_train_epochs=1, per_device_train_batch_size=BATCH, weight_decay=0.0,
        warmup_steps=0, learning_rate=1e-3, **settings,
    )  # fmt: skip
    return RewardTrainer(
        model=model, args=config, processing_class=tokenizer, train_dataset=Dataset.from_list(rows)
    )


def theirs(config: RewardModelConfig) -> dict[str, Any]:
    return {
        "center_rewards_coefficient": config.centring or None,
        "lr_scheduler_type": config.schedule,
        "max_grad_norm": config.max_grad_norm,
    }


@pytest.mark.parametrize("layout", ["packed", "separate", "auto"], ids=["packed", "separate", "encoder"])
@pytest.mark.parametrize("settings", [CENTRED, WITH_MARGINS], ids=["centred", "margins"])
def test_loss_and_gradients_equal_those_of_trl(
    settings: dict[str, Any], layout: Any, start: Path, start_encoder: Path, tmp_path: Path
) -> None:
    begin = start_encoder if layout == "auto" else start
    config = config_of(settings)
    key = answer_key(config, PAIRS)
    mine, tokenizer = load_for_training(begin)
    groups, _, _ = encode_rankings(PAIRS, tokenizer, max_length=100, ties="ignore", key=key)
    answers = AnswerModel(config, key, groups)
    total = torch.zeros(())
    for _, batch in batches(mine, groups, layout=layout, max_tokens=200, pad_id=chat.pad_id(tokenizer)):
        per_ranking = preference_loss(config, rewards_of(mine, batch), batch, answers)
        total = total + per_ranking.sum() / len(groups)
    total.backward()

    yours = load_for_training(begin).model
    trainer = their_trainer(yours, tokenizer, examples(groups, config), tmp_path, **theirs(config))
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(len(groups))])
    loss = trainer.compute_loss(yours.train(), dict(inputs))
    loss.backward()
    assert total.item() == pytest.approx(loss.item(), abs=1e-6)
    others = dict(yours.named_parameters())
    for name, parameter in mine.named_parameters():
        assert torch.allclose(parameter.grad, others[name].grad, atol=1e-5), name
    least = 0.03 if begin == start_encoder else 0.05  # an encoder's pooler makes gradients smaller
    assert max(float(p.grad.abs().max()) for p in mine.parameters()) > least


class OfRounding:
    """Masks of the elements whose gradient was below 1e-7, but not 0, in at least one step of `optimiser`.

    Adam takes a step of full size even if a gradient is only a rounding error. The direction of such a step
    depends on the processor (one of 8,000 parameters differed by 6e-5, and another by 2.4e-5).
    """

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._masks: dict[torch.Tensor, torch.Tensor] = {}
        optimiser.register_step_pre_hook(self._look)

    def __getitem__(self, parameter: torch.Tensor) -> torch.Tensor:
        return self._masks.get(parameter, torch.zeros_like(parameter, dtype=torch.bool))

    def _look(self, optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for parameter in (one for group in optimiser.param_groups for one in group["params"]):
            if parameter.grad is not None:
                small = (parameter.grad != 0) & (parameter.grad.abs() < 1e-7)
                self._masks[parameter] = self[parameter] | small


@pytest.mark.parametrize("settings", [CENTRED, WITH_MARGINS], ids=["centred", "margins"])
@pytest.mark.parametrize("kind", ["full", "lora", "encoder"])
def test_training_with_equal_settings_leads_to_the_same_weights_as_in_trl(
    kind: str,
    settings: dict[str, Any],
    start: Path,
    start_adapter: Path,
    start_encoder: Path,
    tmp_path: Path,
) -> None:
    begin = {"full": start, "lora": start_adapter, "encoder": start_encoder}[kind]
    config = config_of(settings | {"use_peft": kind == "lora"})
    report = ListReporter()
    result = train(
        config, base_model=begin, rankings=PAIRS, heldout=PAIRS[:4], out_dir=tmp_path / "ours",
        report=report,
    )  # fmt: skip
    trained = dict(open_classifier(result.path).model.named_parameters())

    yours, tokenizer = load_for_training(begin, config)
    groups, _, _ = encode_rankings(PAIRS, tokenizer, max_length=100, ties="ignore")
    order = torch.randperm(len(PAIRS), generator=torch.Generator().manual_seed(config.seed)).tolist()
    rows = examples(groups, config)
    trainer = their_trainer(yours, tokenizer, [rows[i] for i in order], tmp_path / "theirs", **theirs(config))
    before = {name: parameter.detach().clone() for name, parameter in yours.named_parameters()}
    of_rounding = OfRounding(trainer.create_optimizer())
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert report.series("loss") == pytest.approx(losses, abs=1e-4)
    norms = [row["grad_norm"] for row in trainer.state.log_history if "grad_norm" in row]
    assert report.series("grad_norm") == pytest.approx(norms, rel=1e-3)
    moved, left_out, of_all = 0.0, 0, 0
    # The attention softmax cancels the key biases. The difference of two rewards cancels the head's bias. The
    # loss therefore does not depend on these biases, and their gradients and Adam steps are rounding errors.
    no_effect = (".key.bias",) if config.centring else (".key.bias", "classifier.bias")
    for name, parameter in yours.named_parameters():
        if name.endswith(no_effect):
            continue
        moved = max(moved, float((parameter - before[name]).detach().abs().max()))
        rounding = of_rounding[parameter]
        left_out, of_all = left_out + int(rounding.sum()), of_all + rounding.numel()
        assert torch.allclose(trained[name][~rounding], parameter[~rounding], atol=2e-5), name
    assert moved > 2e-3  # 100 times the tolerance
    assert left_out < of_all / 1000


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_model_trained_by_trl_has_the_same_scores_in_rankloop(kind: str, tmp_path: Path) -> None:
    """TRL trains the model from texts. As in the most common case, EOS is the pad token."""
    policy = save_model(tiny.policy(), tiny.tokenizer(pad_is_eos=True), tmp_path / "policy")
    texts = [
        {"prompt": f"user: w{n}\nassistant:", "chosen": f" w{n} good good", "rejected": f" w{n} bad"}
        for n in range(8)
    ]
    lora = LoraConfig(r=4, task_type="SEQ_CLS", modules_to_save=["score"], target_modules="all-linear")
    config = RewardConfig(
        output_dir=str(tmp_path / "run"), use_cpu=True, bf16=False, gradient_checkpointing=False,
        report_to=[], save_strategy="no", disable_tqdm=True, learning_rate=1e-2, num_train_epochs=1,
    )  # fmt: skip
    trainer = RewardTrainer(
        model=str(policy),
        args=config,
        train_dataset=Dataset.from_list(texts),
        peft_config=lora if kind == "lora" else None,
    )
    tokenizer = trainer.processing_class
    ids = trainer.train_dataset[0]["chosen_ids"]
    ours = [
        *chat.encode_prompt(tokenizer, [{"role": "user", "content": "w0"}]),
        *chat.encode_response(tokenizer, "w0 good good"),
    ]
    assert [tokenizer.bos_token_id, *ids] == ours  # both sequences include EOS
    trainer.train()
    trainer.save_model(str(tmp_path / "theirs"))
    if kind == "lora":
        plain = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "theirs", num_labels=1)
        plain.config.pad_token_id = tokenizer.pad_token_id
        assert isinstance(plain, PeftModel)
    else:
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "theirs")
    there = scores_there(plain, tokenizer)
    assert torch.allclose(scores_here(tmp_path / "theirs"), there, atol=1e-5)
    assert there.std() > 0.05
