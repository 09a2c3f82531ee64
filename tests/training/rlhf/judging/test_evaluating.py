"""A reward model gives answers the same scores in a batch as when they are scored one by one."""

from __future__ import annotations

import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.judging.reward_models import reward_model
from tests.training.rlhf.judging.test_several_reward_models import NO_SYSTEM
from training.rlhf.generation.evaluation import points
from training.rlhf.judging.evaluating import RewardModelJudge
from training.rlhf.reward.scoring import score

torch.set_num_threads(1)


def items(prompts: int = 5, answers: int = 3) -> list[tuple[list[dict[str, str]], list[str]]]:
    return [
        (
            [{"role": "user", "content": tiny.words(*range(p + 1))}],
            [tiny.words(*range(p, p + 2 * a)) for a in range(answers)],
        )
        for p in range(prompts)
    ]


def test_raw_rewards_in_a_batch_equal_those_of_answers_scored_one_by_one() -> None:
    loaded = reward_model(1, mean=5.0, std=2.0)
    judge = RewardModelJudge.load(loaded)
    found = points(judge, items())
    alone = [[float(score(*loaded, [(m, [text])])[0][0]) for text in texts] for m, texts in items()]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(alone), atol=1e-5, rtol=0)
    assert torch.tensor(found).std() > 0.05
    assert judge.metrics() == {}


def test_answer_too_long_for_the_reward_model_is_truncated_and_counted() -> None:
    judge = RewardModelJudge.load(reward_model(1, max_length=12))
    messages = [{"role": "user", "content": tiny.words(1, 2)}]
    [[short, long]] = judge.points([(messages, [tiny.words(3), tiny.words(*range(30))])])
    assert torch.tensor([short, long]).isfinite().all()
    assert judge.metrics() == {"reward_model/truncated": 1.0}


def test_prompt_that_the_template_rejects_can_be_left_out() -> None:
    words = tiny.tokenizer()
    words.chat_template = NO_SYSTEM
    judge = RewardModelJudge.load(reward_model(words=words))
    assert judge.can_read([{"role": "user", "content": "w1"}])
    assert not judge.can_read([{"role": "system", "content": "w1"}, {"role": "user", "content": "w1"}])
