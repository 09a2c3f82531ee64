"""A reward model as the judge of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from training.rlhf.core.messages import Messages
from training.rlhf.judging.judge import Judge, open_judge
from training.rlhf.models.loading.sources import ModelSource


@dataclass(slots=True)
class RewardModelJudge:
    """Scores texts in batches, in raw reward units, and collects the scores' uncertainty."""

    judge: Judge
    spreads: list[float] = field(default_factory=list)
    truncated: int = 0

    @classmethod
    def load(cls, reward_model: ModelSource) -> RewardModelJudge:
        return cls(open_judge("reward_model", reward_model, policy=None))

    def can_read(self, messages: Messages) -> bool:
        """Whether the reward model's chat template accepts the prompt."""
        return self.judge.can_read(messages)

    def points(self, items: Sequence[tuple[Messages, Sequence[str]]]) -> list[list[float]]:
        """Return the raw rewards of the answers to each prompt. Raises RewardNotFinite."""
        found = self.judge.rewards_of_texts(items)
        self.spreads += found.spreads.tolist()
        self.truncated += found.truncated
        rewards = iter(found.raw.tolist())
        return [[next(rewards) for _ in texts] for _, texts in items]

    def metrics(self) -> dict[str, float]:
        """Return the mean uncertainty of all scores and the number of answers that were too long to be read
        in full. The uncertainty is left out if the reward model does not estimate it, and the number is left
        out if it is 0."""
        found = {"reward_model/truncated": float(self.truncated)} if self.truncated else {}
        if self.judge.uncertainty is not None and self.spreads:
            found["reward_model/spread"] = sum(self.spreads) / len(self.spreads)
        return found
