"""A reward that is spread over sentences has the same sum and the same expected policy gradient as a reward
at the end of the answer."""

from __future__ import annotations

import itertools

import pytest
import torch
from tokenizers import decoders
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.training.rlhf import small_world, tiny
from training.rlhf.judging.judges import Asked, Judges, open_judges
from training.rlhf.judging.shaping import (
    MAX_PARTIAL_ANSWERS,
    later_starts,
    potentials_of,
    sentence_starts,
    spread,
    token_scores,
)
from training.rlhf.models.tokens import chat
from training.rlhf.objectives.advantages import generalised_advantages
from training.rlhf.planning import scoring
from training.rlhf.recipes.parts.rewards import UsesRewards

torch.set_num_threads(1)
TEXT = 'One costs 3.14 now. "Two," she said! (Three?) Four... five。六！ Seven\n- eight\n\nNine'
SENTENCES = [
    "One costs 3.14 now.",
    '"Two," she said!',
    "(Three?)",
    "Four...",
    "five。",
    "六！",
    "Seven",
    "- eight",
    "Nine",
]


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that decodes token IDs to exactly the text that was encoded."""
    words = tiny.byte_level_tokenizer()
    words.backend_tokenizer.decoder = decoders.ByteLevel()
    return words


def small_judges() -> Judges:
    policy = small_world.untrained_policy()
    return open_judges(small_world.arbitrary_reward_model(), UsesRewards(), policy=policy)


def demo_asked(judges: Judges) -> list[Asked]:
    texts = (
        "We can help. Your order left today. It arrives on Monday. Have a nice day!",
        "Yes.",
        "No. Never.",
    )
    messages = [{"role": "user", "content": "Where is my order?"}]
    encoded = [chat.encode_response(judges.policy, text) for text in texts]
    return [Asked(messages, chat.encode_prompt(judges.policy, messages), encoded)]


def test_sentences_begin_after_punctuation_and_line_breaks_in_byte_level_tokens() -> None:
    words = byte_level_tokenizer()
    ids = chat.encode_response(words, TEXT)
    edges = [0, *sentence_starts(words, ids), len(ids)]
    parts = [chat.decode(words, ids[a:b]) for a, b in itertools.pairwise(edges)]
    assert parts == SENTENCES


def test_sentences_begin_after_punctuation_with_the_demo_tokenizer() -> None:
    words = small_world.tokenizer()
    ids = chat.encode_response(words, "We can help. Is it late? Have a nice day!")
    edges = [0, *sentence_starts(words, ids), len(ids)]
    parts = [chat.decode(words, ids[a:b]) for a, b in itertools.pairwise(edges)]
    assert parts == ["We can help.", "Is it late?", "Have a nice day!"]


def test_start_of_a_sentence_depends_only_on_earlier_tokens() -> None:
    words = byte_level_tokenizer()
    ids = chat.encode_response(words, TEXT)
    whole = sentence_starts(words, ids)
    for end in range(1, len(ids)):
        assert sentence_starts(words, ids[:end]) == [start for start in whole if start < end]


def test_scored_partial_answers_are_a_minimum_distance_apart() -> None:
    assert later_starts([2, 5, 6, 11, 14, 30], apart=5) == [5, 11, 30]
    assert later_starts([], apart=5) == []


def test_potential_is_the_score_of_the_answer_up_to_its_last_full_sentence() -> None:
    judges = small_judges()
    questions = demo_asked(judges)
    first, second, third = potentials_of(judges, questions, max_new_tokens=8)
    ids = questions[0].answers[0]
    for start in sentence_starts(judges.policy, ids):
        alone = [*ids[:start], chat.eos_id(judges.policy)]
        score = judges.score([Asked(questions[0].messages, questions[0].prompt, [alone])]).scores
        torch.testing.assert_close(first[start + 1], score[0])
    assert first[0] == 0
    assert len(first.unique()) == 4
    assert second.count_nonzero() == 0
    assert len(third.unique()) == 2


@pytest.mark.parametrize("gamma", [1.0, 0.97])
def test_rewards_of_the_tokens_add_up_to_the_reward_of_the_answer(gamma: float) -> None:
    judges = small_judges()
    questions = demo_asked(judges)
    truncated, *finished = map(len, questions[0].answers)
    lengths = [truncated - 1, *finished]
    ends = torch.tensor([0.7, -1.3, 2.0])
    found = token_scores(judges, questions, ends, lengths=lengths, max_new_tokens=8, gamma=gamma)
    assert [len(rewards) for rewards in found] == lengths
    for rewards, end in zip(found, ends, strict=True):
        discounts = gamma ** torch.arange(len(rewards), dtype=torch.float64)
        expected = gamma ** (len(rewards) - 1) * end.double()
        torch.testing.assert_close((discounts * rewards).sum(), expected, atol=1e-5, rtol=0)
    if gamma == 1:
        assert found[0].count_nonzero() == 4


def test_potentials_are_clipped_like_the_score() -> None:
    judges = small_judges()
    questions = demo_asked(judges)
    ends = judges.score(questions).scores.clamp(-0.1, 0.1)
    lengths = [len(answer) for answer in questions[0].answers]
    found = token_scores(judges, questions, ends, lengths=lengths, max_new_tokens=8, clip=0.1)
    assert max(float(rewards.abs().max()) for rewards in found) <= 0.2 + 1e-6


def test_return_of_a_token_is_the_end_reward_minus_the_potential_of_the_token() -> None:
    """With value 0 and λ = 1, the advantage is the return."""
    potentials, end = torch.tensor([0.0, 0.0, 0.4, 0.4, -0.3]), 1.5
    rewards, mask = spread(potentials, end)[None], torch.ones(1, 5, dtype=torch.bool)
    advantages, _ = generalised_advantages(rewards, torch.zeros(1, 5), mask, gamma=1.0, lam=1.0)
    torch.testing.assert_close(advantages[0], end - potentials)
    with pytest.raises(ValueError, match="no tokens"):
        spread(torch.zeros(0), 1.0)


def gradients(potentials_late: int) -> tuple[Tensor, Tensor]:
    """The exact expected policy gradients of a random policy over all answers of four tokens: first with the
    reward at the end, then with the reward spread over sentences. Each potential is paid `potentials_late`
    tokens late."""
    words = byte_level_tokenizer()
    tokens = [chat.encode_response(words, text)[0] for text in ("!", "it")]
    tokens.append(words.convert_tokens_to_ids("Ġ"))
    sequences = list(itertools.product(range(3), repeat=4))
    generator = torch.Generator().manual_seed(0)
    # Each state consists of the choices so far and has one row of logits.
    states = {s: n for n, s in enumerate(s for t in range(4) for s in itertools.product(range(3), repeat=t))}
    logits = torch.randn(len(states), 3, generator=generator, dtype=torch.float64, requires_grad=True)
    reward_of = torch.randn(len(sequences), generator=generator, dtype=torch.float64)
    of_beginning: dict[tuple[int, ...], float] = {}
    log_policy = logits.log_softmax(dim=1)
    at_end, spread_out = log_policy.new_zeros(()), log_policy.new_zeros(())
    for number, sequence in enumerate(sequences):
        steps = torch.stack([log_policy[states[sequence[:t]], a] for t, a in enumerate(sequence)])
        potentials = torch.zeros(4, dtype=torch.float64)
        for start in sentence_starts(words, [tokens[choice] for choice in sequence]):
            known = of_beginning.setdefault(
                sequence[:start], float(torch.randn((), generator=generator, dtype=torch.float64))
            )
            potentials[start + potentials_late :] = known
        rewards = spread(potentials, float(reward_of[number]))
        returns = rewards.flip(0).cumsum(0).flip(0)
        weight = steps.sum().exp().detach()
        at_end = at_end + weight * steps.sum() * reward_of[number]
        spread_out = spread_out + weight * (steps * returns).sum()
    assert len(of_beginning) >= 2
    first, second = (torch.autograd.grad(one, logits, retain_graph=True)[0] for one in (at_end, spread_out))
    return first, second


def test_expected_policy_gradient_is_the_same_as_with_the_reward_at_the_end() -> None:
    at_end, spread_out = gradients(potentials_late=1)
    torch.testing.assert_close(spread_out, at_end, atol=1e-12, rtol=0)
    assert at_end.abs().max() > 0.01
    # If potentials were paid at a sentence's last token, they would depend on the next token, which has not
    # been chosen yet.
    at_end, biased = gradients(potentials_late=0)
    assert (biased - at_end).abs().max() > 1e-3


def test_at_most_eight_partial_answers_are_scored_per_answer() -> None:
    judges = small_judges()
    text = "Yes. No. " * 30
    ids = chat.encode_response(judges.policy, text)
    messages = [{"role": "user", "content": "?"}]
    [potentials] = potentials_of(judges, [Asked(messages, [5], [ids])], max_new_tokens=len(ids))
    assert 4 < len(potentials.unique()) <= MAX_PARTIAL_ANSWERS + 1
    assert scoring.MAX_PARTIAL_ANSWERS == MAX_PARTIAL_ANSWERS  # the estimate uses a copy of this constant
