"""Every stop token ends an answer, and EOS replaces the stop token for scoring."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import saved
from training.rlhf.core.reporter import NullReporter
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion
from training.rlhf.generation.sampling import sample
from training.rlhf.judging.judges import Asked, open_judges
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.loading.pairs import refuse_other_tokens
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.models.tokens.templates import turn_end
from training.rlhf.recipes.answers import SampleConfig
from training.rlhf.recipes.parts.rewards import UsesRewards
from training.rlhf.reward.scoring import load_for_training, score

torch.set_num_threads(1)
PAD, EOS = 0, 1
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUESTION = [{"role": "user", "content": tiny.words(3, 4)}]
PROMPT = [2, 8, 9]


def chatml_tokenizer(*, special: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer whose template closes turns with a token other than EOS."""
    words = tiny.tokenizer()
    words.add_tokens([AddedToken(name, special=special) for name in ("<|im_start|>", "<|im_end|>")])
    words.chat_template = CHATML
    return words


def policy_that_says(*ids: int, rows: int = 80) -> LlamaForCausalLM:
    """A policy that generates these token IDs, whatever its input."""
    model = tiny.policy(vocab_size=rows)
    said = iter(ids)
    head = torch.nn.Linear(32, rows, bias=False)

    def next_id(module: object, given: object, output: torch.Tensor) -> torch.Tensor:
        wanted = next(said)
        return torch.full_like(output, -20.0).index_fill(-1, torch.tensor([wanted]), 20.0)

    head.register_forward_hook(next_id)
    model.lm_head = head
    return model


@pytest.mark.parametrize("stop", [EOS, PAD, 65, 75], ids=["EOS", "pad", "another", "beyond the tokenizer"])
def test_every_stop_token_of_the_generation_settings_ends_an_answer(stop: int) -> None:
    model, words = policy_that_says(10, 11, stop, 12, 13), tiny.tokenizer()
    model.generation_config.eos_token_id = [PAD, 65, 75]
    [[answer]] = generate(model, words, [PROMPT], max_new_tokens=5)
    assert answer == Completion([10, 11, stop], True)
    assert answer.content == [10, 11]
    assert answer.ended(EOS) == [10, 11, EOS]


def test_ids_beyond_the_tokenizer_are_sampled_only_if_they_are_stop_tokens() -> None:
    model, words = tiny.policy(vocab_size=80), tiny.tokenizer()
    model.generation_config.eos_token_id = [75]
    answers = generate(model, words, [PROMPT] * 40, n=8, max_new_tokens=12, temperature=2.0)
    seen = {number for group in answers for one in group for number in one.ids}
    assert {number for number in seen if number >= len(words)} == {75}


def test_reward_model_must_have_an_embedding_for_every_stop_token() -> None:
    policy = Loaded(tiny.policy(vocab_size=80), tiny.tokenizer())
    judge = Loaded(tiny.policy(vocab_size=72), tiny.tokenizer())
    refuse_other_tokens(policy, judge)
    policy.model.generation_config.eos_token_id = [75]
    with pytest.raises(Refused, match="can generate the token IDs 0 to 75"):
        refuse_other_tokens(policy, judge)


def test_truncated_answer_gets_an_eos_for_scoring() -> None:
    model = policy_that_says(10, 11, 12)
    [[answer]] = generate(model, tiny.tokenizer(), [PROMPT], max_new_tokens=3)
    assert answer == Completion([10, 11, 12], finished=False)
    assert answer.ended(EOS) == [10, 11, 12, EOS]
    assert answer.content == [10, 11, 12]


@pytest.mark.parametrize("special", [True, False])
def test_end_of_turn_token_of_the_template_ends_an_answer(special: bool) -> None:
    words = chatml_tokenizer(special=special)
    end = words.convert_tokens_to_ids("<|im_end|>")
    assert turn_end(words) == end
    model = policy_that_says(10, end, 11, 12)
    assert chat.stop_ids(model, words) == [EOS, end]
    [[answer]] = generate(model, words, [chat.encode_prompt(words, QUESTION)], max_new_tokens=4)
    assert answer == Completion([10, end], True)
    assert answer.ended(EOS) == chat.encode_response(words, words.decode([10]))


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
        "{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}",
        "{{ raise_exception('no') }}",
        "{{ messages[0]['content'] }}<|im_end|>",
    ],
    ids=["text", "nothing", "refused", "without the answer"],
)
def test_template_without_an_end_of_turn_token_adds_no_stop_token(template: str) -> None:
    words = chatml_tokenizer()
    words.chat_template = template
    assert turn_end(words) is None
    assert turn_end(tiny.tokenizer()) is None


def test_eos_within_the_prompt_does_not_end_the_answer() -> None:
    words = tiny.tokenizer()
    words.chat_template = "{% for m in messages %}{{ m['content'] }} <eos> {% endfor %}"
    prompt = chat.encode_prompt(words, QUESTION)
    assert prompt[-1] == EOS
    [[answer]] = generate(policy_that_says(10, 11, EOS), words, [prompt], max_new_tokens=3)
    assert answer == Completion([10, 11, EOS], True)


def test_score_of_an_answer_does_not_depend_on_its_stop_token(tmp_path: Path) -> None:
    """The reward model's pad token has ID 0. If the raw IDs of an answer that ends with this token were
    scored, the score would be read at the last word, as if the answer had no stop token."""
    judge = load_for_training(saved(tmp_path / "trunk"))
    judge.model.config.rankloop = {"reward_mean": 0.0, "reward_std": 1.0}
    policy = Loaded(tiny.policy(), tiny.tokenizer())
    judges = open_judges({"judge": judge}, UsesRewards(), policy=policy)
    prompt = chat.encode_prompt(policy.tokenizer, QUESTION)
    ends = [Completion([10, 11, stop], finished=True) for stop in (EOS, PAD, 65)]
    asked = [
        Asked(QUESTION, prompt, [one.ended(EOS) for one in ends]),
        Asked(QUESTION, prompt, [[10, 11, PAD]]),
    ]
    *scores, unended = judges.score(asked).scores.tolist()
    [[by_text]] = score(*judge, [(QUESTION, [chat.decode(policy.tokenizer, ends[1].content)])])
    assert scores == pytest.approx([float(by_text)] * 3, abs=1e-6)
    assert abs(unended - float(by_text)) > 1e-3


def test_sampled_texts_do_not_contain_the_stop_token() -> None:
    words = chatml_tokenizer(special=False)
    end = words.convert_tokens_to_ids("<|im_end|>")
    policy = Loaded(policy_that_says(10, 11, end), words)
    config = SampleConfig(responses_per_prompt=1, max_new_tokens=4, temperature=0)
    sampled = sample(config, policy=policy, prompts=[QUESTION], report=NullReporter())
    assert [text for text, _ in sampled.prompts[0].responses] == ["w6 w7"]
