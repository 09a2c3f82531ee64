"""A sample answer is shown with its reward, its KL, the reward minus the KL penalty, and each reward model's
score."""

from __future__ import annotations

import pytest
import torch

from training.rlhf.judging.judges import Judged
from training.rlhf.judging.samples import answer_scores, before_and_after


def judged(**standard: list[float]) -> Judged:
    parts = {name: torch.tensor(values) for name, values in standard.items()}
    scores = torch.stack(list(parts.values())).mean(dim=0)
    return Judged(scores, torch.zeros(2), parts=parts, standard=parts)


def test_scores_contain_the_optimised_sum_and_every_part() -> None:
    found = answer_scores(judged(helpful=[1.0, 2.0], harmless=[0.0, -4.0]), 1, kl=5.0, kl_coefficient=0.2)
    assert found == pytest.approx(
        {"reward": -1.0, "kl": 5.0, "reward_minus_kl": -2.0, "rewards/helpful": 2.0, "rewards/harmless": -4.0}
    )


def test_sample_with_one_reward_model_and_no_kl_shows_only_a_reward() -> None:
    before, after = (answer_scores(judged(only=[0.25, 0.5]), i) for i in (0, 1))
    assert before_and_after(before, after) == {"reward_before": 0.25, "reward_after": 0.5}
