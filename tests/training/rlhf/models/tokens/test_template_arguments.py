"""Arguments of the chat template apply to every prompt of a run and are saved with the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tokenizers import AddedToken

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import saved
from training.rlhf.core.messages import Demonstration
from training.rlhf.data.rankings import Ranking
from training.rlhf.generation.evaluation import evaluate
from training.rlhf.generation.sampling import sample
from training.rlhf.models.checks.arguments import names_in
from training.rlhf.models.checks.pair import check_pair
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.loading.opening import load_policy, load_reward_model, open_policy
from training.rlhf.models.loading.pairs import refuse_other_tokens
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.models.tokens.templates import arguments_of, with_arguments
from training.rlhf.policy import dpo, ppo, rejection_sampling, rloo, sft
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.parts.templates import parse_arguments
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward.scoring import load_for_training

torch.set_num_threads(1)
THINKING = (
    "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    "{% if enable_thinking is defined and enable_thinking is false %}w9 {% endif %}w{{ effort|default(1) }}"
)
# Always renders prompts as THINKING does when thinking is off.
NEVER_THINKS = "{% for m in messages %}{{ m['content'] }} {% endfor %}w9 w1"
QUESTION = [{"role": "user", "content": "w3"}]
OFF = "enable_thinking=false"


def read(policy: Loaded) -> str:
    return str(policy.tokenizer.decode(chat.encode_prompt(policy.tokenizer, QUESTION)))


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        (" ", {}),
        ("enable_thinking=false", {"enable_thinking": False}),
        (
            "enable_thinking = true , reasoning_effort = low",
            {"enable_thinking": True, "reasoning_effort": "low"},
        ),
        (
            'a=1.5, b=null, c="x, y", d=[1, 2], e={"f": 3}',
            {"a": 1.5, "b": None, "c": "x, y", "d": [1, 2], "e": {"f": 3}},
        ),
        ("model_identity=You are Bo.,n=007", {"model_identity": "You are Bo.", "n": "007"}),
        ("a=1,", {"a": 1}),
        ("a=NaN", {"a": "NaN"}),
    ],
)
def test_argument_values_are_json_or_strings(text: str, arguments: dict[str, Any]) -> None:
    assert parse_arguments(text) == arguments
    assert SampleConfig(template_arguments=text).arguments_of_template == arguments


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("enable_thinking", "expected entries of the form name=value"),
        ("=1", "expected entries of the form name=value"),
        ("a=1, , b=2", "expected entries of the form name=value"),
        ("a=", "a has no value"),
        ("a=1, a=2", "a is given twice"),
        ("messages=[]", "messages can't be set"),
        ("add_generation_prompt=false", "can't be set"),
        ("eos_token=x", "can't be set"),
    ],
)
def test_invalid_template_arguments_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PPOConfig(template_arguments=text)


def test_arguments_are_saved_with_the_model_and_can_be_extended(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy", template=THINKING)
    plain = load_policy(folder)
    policy = open_policy(plain, {"enable_thinking": False})
    assert (read(plain), read(policy)) == ("w3 w1", "w3 w9 w1")
    again = load_policy(save_model(*policy, tmp_path / "again"))
    assert arguments_of(again.tokenizer) == {"enable_thinking": False}
    assert read(again) == read(policy)
    assert read(open_policy(again, {"effort": 4})) == "w3 w9 w4"
    assert read(open_policy(again, {"enable_thinking": True})) == "w3 w1"
    judge = load_for_training(tmp_path / "again")
    assert read(Loaded(judge.model, judge.tokenizer)) == "w3 w9 w1"


@pytest.mark.parametrize("template", [THINKING, ""])
def test_argument_that_the_template_does_not_use_is_refused(template: str) -> None:
    words = tiny.tokenizer()
    words.chat_template = template or None
    with pytest.raises(Refused, match="contains enable_thinkin, but the model's chat template") as caught:
        with_arguments(words, {"enable_thinkin": False})
    assert ("arguments are: effort, enable_thinking" in str(caught.value)) == bool(template)


def test_names_that_a_template_reads_from_its_arguments_are_found() -> None:
    assert names_in(THINKING) == {"effort", "enable_thinking"}
    assert names_in(
        "{% set a = a|default(1) %}{% set b = 2 %}{{ b }}{{ bos_token }}{{ raise_exception }}"
    ) == {"a"}
    assert names_in("{% generation %}{{ x }}{% endgeneration %}{% break %}") == {"x"}
    assert names_in("{% if") == set()


def trained_by_sft(policy: Path, judge: Path, out: Path) -> Path:
    config = SFTConfig(template_arguments=OFF, sample_prompts=1, sample_tokens=2)
    return sft.train(
        config, base_model=policy, demonstrations=[Demonstration(QUESTION, "w4")], out_dir=out
    ).path


def trained_by_rejection_sampling(policy: Path, judge: Path, out: Path) -> Path:
    config = RejectionSamplingConfig(template_arguments=OFF, samples_per_prompt=8, max_new_tokens=30)
    given: dict[str, Any] = {"policy": policy, "reward_model": judge, "prompts": [QUESTION] * 4}
    return rejection_sampling.train(config, out_dir=out, **given).path


def trained_by_ppo(policy: Path, judge: Path, out: Path) -> Path:
    config = PPOConfig(template_arguments=OFF, steps=1, rollout_prompts=2, max_new_tokens=4)
    given: dict[str, Any] = {"policy": policy, "reward_model": judge, "prompts": [QUESTION] * 4}
    return ppo.train(config, out_dir=out, **given).path


def trained_by_rloo(policy: Path, judge: Path, out: Path) -> Path:
    config = RLOOConfig(template_arguments=OFF, steps=1, rollout_prompts=2, max_new_tokens=4)
    given: dict[str, Any] = {"policy": policy, "reward_model": judge, "prompts": [QUESTION] * 4}
    return rloo.train(config, out_dir=out, **given).path


def trained_by_dpo(policy: Path, judge: Path, out: Path) -> Path:
    config = DPOConfig(template_arguments=OFF, sample_prompts=0, heldout_fraction=0)
    rankings = [Ranking(tuple(QUESTION), ("w4", "w5"), ((0,), (1,)))]
    return dpo.train(config, base_model=policy, rankings=rankings, out_dir=out).path


@pytest.mark.parametrize(
    "train",
    [trained_by_sft, trained_by_rejection_sampling, trained_by_ppo, trained_by_rloo, trained_by_dpo],
)
def test_every_loop_reads_prompts_with_the_arguments_of_its_recipe(
    train: Callable[[Path, Path, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, judge = saved(tmp_path / "policy", template=THINKING), judge_in(tmp_path, THINKING)
    seen: set[str] = set()
    encode = chat.encode_prompt

    def watching(*given: Any) -> list[int]:
        ids = encode(*given)
        if list(given[1]) == QUESTION:
            seen.add(str(given[0].decode(ids)))
        return ids

    monkeypatch.setattr(chat, "encode_prompt", watching)
    made = train(policy, judge, tmp_path / "out")
    assert "w3 w9 w1" in seen
    assert arguments_of(load_policy(made).tokenizer) == {"enable_thinking": False}


def test_sampled_answers_and_evaluations_use_the_arguments() -> None:
    words = tiny.tokenizer()
    words.chat_template = THINKING
    policy = Loaded(tiny.policy(), words)
    plain, other = (
        sample(SampleConfig(template_arguments=text, max_new_tokens=9), policy=policy, prompts=[QUESTION])
        for text in ("", OFF)
    )
    texts = [[text for text, _ in one.prompts[0].responses] for one in (plain, other)]
    assert texts[0] != texts[1]
    assert other.prompts[0].responses[0][1]["template_arguments"] == {"enable_thinking": False}
    assert "template_arguments" not in plain.prompts[0].responses[0][1]
    rows = [
        evaluate(
            EvaluateConfig(template_arguments=text, max_new_tokens=9),
            policy=policy,
            prompts=[QUESTION],
            judge=lambda *_: 0.0,
        ).rows
        for text in ("", OFF)
    ]
    assert rows[0] != rows[1]


def judge_in(folder: Path, template: str) -> Path:
    model, words = load_for_training(saved(folder / "trunk", template=template))
    model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0}
    return save_model(model, words, folder / "judge")


def test_policy_and_reward_model_are_compared_with_the_same_arguments(tmp_path: Path) -> None:
    """The reward models have no saved arguments. With the run's arguments, both reward models read the same
    tokens as the policy."""
    policy = saved(tmp_path / "policy", template=THINKING)
    off = {"enable_thinking": False}
    same, other = judge_in(tmp_path / "same", THINKING), judge_in(tmp_path / "other", NEVER_THINKS)
    told = save_model(*open_policy(policy, off), tmp_path / "told")
    check_pair(policy, same, off)
    check_pair(policy, other, off)
    check_pair(told, same)
    check_pair(told, other)
    refuse_other_tokens(load_policy(told), load_reward_model(same))
    refuse_other_tokens(load_policy(told), load_reward_model(other))
    with pytest.raises(Refused, match="have different chat templates"):
        check_pair(policy, other)
    with pytest.raises(Refused, match="have different chat templates"):
        refuse_other_tokens(load_policy(policy), load_reward_model(other))


@pytest.mark.parametrize(("special", "text"), [(False, "<think> w1 </think> w2"), (True, "w1 w2")])
def test_reasoning_is_part_of_the_answer(special: bool, text: str) -> None:
    """Only tags that are special tokens are removed, not the reasoning between them."""
    words = tiny.tokenizer()
    words.add_tokens([AddedToken(tag, special=special) for tag in ("<think>", "</think>")])
    ids = words("<think> w1 </think> w2", add_special_tokens=False)["input_ids"]
    assert chat.decode(words, ids) == text
