"""A reward model reads every conversation in its own chat template. If a run scores text, the reward model's
template renders the text. PPO passes the policy's tokens to the reward model, so PPO refuses two models that
convert the same conversation to different tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import saved
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.engines import LocalEngine
from training.rlhf.generation.prompts import encode_prompts
from training.rlhf.judging.judges import open_judges
from training.rlhf.models.checks.pair import check_pair
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.loading.opening import load_policy, load_reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.reward import scoring
from training.rlhf.reward.scoring import load_for_training
from training.rlhf.rollouts.critic import critic_for
from training.rlhf.rollouts.rollout import Models, load_models, score
from training.rlhf.selection.candidates import sample_batch

torch.set_num_threads(1)
MARKED = (
    "{% for m in messages %}w1 {{ m['content'] }} w2 {% endfor %}{% if add_generation_prompt %}w3{% endif %}"
)
# This template differs from MARKED but renders the same tokens.
REWRITTEN = (
    "{#- the same conversation -#}\n{%- for message in messages -%}\n"
    "  w1 {{ message.content }} w2{{ '\\n' }}\n"
    "{%- endfor -%}\n{%- if add_generation_prompt %}w3{% endif -%}"
)
SYSTEM_APART = (
    "{% for m in messages %}{% if m['role'] == 'system' %}w9 {% endif %}"
    "w1 {{ m['content'] }} w2 {% endfor %}w3"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + MARKED
ONE_TURN = "{{ messages[1].content + 1 if messages | length > 1 else messages[0].content }}"  # TypeError
PROMPTS = [[{"role": "user", "content": tiny.words(4, n)}] for n in range(5, 9)]


def judge_of(folder: Path, *, template: str = "", **changes: Any) -> Path:
    """A reward model with a random head and this chat template."""
    trunk = saved(folder / "trunk", template=template, **changes)
    model, words = load_for_training(trunk)
    model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0}
    return save_model(model, words, folder / "judge")


def load(policy: Path, judge: Path) -> Models:
    """Load the models that PPO needs."""
    config = PPOConfig()  # type: ignore[call-arg]
    models = load_models(policy, {"reward": judge}, config)
    critic_for(models, config)
    return models


def refusal(policy: Path, judge: Path) -> UnusableInput:
    """Check that PPO refuses to load the two models together, and that a check of the models' files reports
    the same reason."""
    with pytest.raises(Refused) as early:
        check_pair(policy, judge)
    with pytest.raises(UnusableInput) as caught:
        load(policy, judge)
    assert (str(caught.value), caught.value.kind) == (str(early.value), early.value.kind)
    return caught.value


@pytest.mark.parametrize(
    ("policy", "judge", "probe"),
    [
        (MARKED, "", "a question"),
        ("", MARKED, "a question"),
        (MARKED, MARKED.replace("w1", "w4"), "a question"),
        (MARKED, SYSTEM_APART, "a question after a system turn"),
        (MARKED, NO_SYSTEM, "a question after a system turn"),
    ],
    ids=["only the policy", "only the reward model", "other markers", "other system turn", "no system turn"],
)
def test_ppo_refuses_different_templates(policy: str, judge: str, probe: str, tmp_path: Path) -> None:
    ours = saved(tmp_path / "policy", template=policy)
    error = refusal(ours, judge_of(tmp_path, template=judge))
    assert error.kind == FailureKind.TEMPLATES_DIFFER
    assert f"have different chat templates: the policy reads {probe} as" in str(error)
    assert "rejection sampling or RLOO, which score the text in the reward model's own template" in str(error)


def test_error_shows_how_each_model_reads_a_conversation(tmp_path: Path) -> None:
    error = refusal(saved(tmp_path / "policy", template=MARKED), judge_of(tmp_path, template=NO_SYSTEM))
    assert "the policy reads a question after a system turn as 'w1 <unk>" in str(error)
    assert "the reward model reads it as nothing (the template rejects it)" in str(error)


@pytest.mark.parametrize("template", ["", MARKED, REWRITTEN, ONE_TURN])
def test_ppo_accepts_templates_that_render_the_same_tokens(template: str, tmp_path: Path) -> None:
    policy = saved(tmp_path / "policy", template=template if template != REWRITTEN else MARKED)
    judge = judge_of(tmp_path, template=template)
    check_pair(policy, judge)
    assert load(policy, judge).judges.judges[0].same_tokens


def test_ppo_refuses_models_that_end_an_answer_differently(tmp_path: Path) -> None:
    judge = judge_of(tmp_path)
    words = load_reward_model(judge).tokenizer
    words.eos_token = "<bos>"
    words.save_pretrained(judge)
    error = refusal(saved(tmp_path / "policy"), judge)
    assert error.kind == FailureKind.TEMPLATES_DIFFER
    assert "ends an answer with '<eos>', but the reward model reads the score at '<bos>'" in str(error)


def test_ppo_refuses_different_vocabularies_and_names_a_token(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, vocab_size=80)
    words = load_reward_model(judge).tokenizer
    words.add_tokens(["another"])
    words.save_pretrained(judge)
    error = refusal(saved(tmp_path / "policy"), judge)
    assert error.kind == FailureKind.VOCABULARIES_DIFFER
    assert "different vocabularies (70 and 69 tokens): 'another' is ID 69 in the reward model" in str(error)
    assert "and missing in the policy" in str(error)


def test_ppo_refuses_a_policy_with_more_ids_than_the_reward_model_reads(tmp_path: Path) -> None:
    words = PreTrainedTokenizerFast(
        tokenizer_object=tiny.tokenizer().backend_tokenizer,
        **tiny.tokenizer().special_tokens_map,
        extra_special_tokens={"image_token": "<image>"},
    )
    policy = save_model(tiny.policy(vocab_size=80), words, tmp_path / "policy")
    judge = judge_of(tmp_path)
    words.save_pretrained(judge)
    error = refusal(policy, judge)
    assert error.kind == FailureKind.VOCABULARIES_DIFFER
    assert "can generate the token IDs 0 to 69, but the reward model has only 69 embedding rows" in str(error)


@pytest.mark.parametrize(("policy_rows", "judge_rows"), [(80, 69), (80, 72), (69, 96)])
def test_ppo_accepts_models_that_differ_only_in_rows_without_a_token(
    policy_rows: int, judge_rows: int, tmp_path: Path
) -> None:
    """Qwen2.5-7B has 152,064 embedding rows and Qwen2.5-1.5B has 151,936. Both tokenizers have 151,665
    tokens."""
    policy = saved(tmp_path / "policy", vocab_size=policy_rows)
    judge = judge_of(tmp_path, vocab_size=judge_rows)
    check_pair(policy, judge)
    models = load(policy, judge)
    answers = generate(models.actor, models.tokenizer, [[5, 6]] * 8, n=8, max_new_tokens=16)
    sampled = [number for group in answers for one in group for number in one.ids]
    assert max(sampled) < len(models.tokenizer) == 69
    asked = [[{"role": "user", "content": "w1 w2"}]] * 8
    assert len(score(models, asked, [[5, 6]] * 8, answers).scores) == 64


def test_rejection_sampling_scores_the_text_in_the_template_of_the_reward_model(tmp_path: Path) -> None:
    policy = load_policy(saved(tmp_path / "policy", template=MARKED))
    judge = load_reward_model(judge_of(tmp_path))
    config = RejectionSamplingConfig(samples_per_prompt=3, max_new_tokens=6)  # type: ignore[call-arg]
    judges = open_judges({"judge": judge}, config, policy=policy)
    asked = encode_prompts(policy.tokenizer, PROMPTS, limit=64)
    candidates, _ = sample_batch(
        config, policy, LocalEngine(), judges, asked, None, range(len(PROMPTS)), 1, lambda: None
    )
    texts = candidates.texts(policy.tokenizer)
    items = [(messages, texts[3 * i : 3 * i + 3]) for i, messages in enumerate(PROMPTS)]
    own = torch.cat(scoring.score(*judge, items)).double()
    assert torch.allclose(candidates.scores, own, atol=1e-5)
    other = torch.cat(scoring.score(*Loaded(judge.model, policy.tokenizer), items))
    assert (own - other).abs().max() > 0.1  # with the policy's template, the scores would differ
