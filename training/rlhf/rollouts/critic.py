"""PPO's critic: a model that predicts the remaining rewards of an unfinished answer."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.models.checks.reward import refuse_encoder
from training.rlhf.models.inputs import Inputs
from training.rlhf.models.loading import Loaded
from training.rlhf.models.logprobs import states_at
from training.rlhf.models.pairs import refuse_other_tokens
from training.rlhf.models.trunks import is_encoder
from training.rlhf.rollouts.rollout import MicroBatch, Models


class Critic(nn.Module):
    """A copy of a trunk with one fp32 output per token: the value of the state in which the next token is
    chosen.

    The head starts at zero, so the explained variance of the first values is exactly 0. The reward model's
    own head would be a worse start, because it was trained only at the ends of answers. On the demo, its
    explained variance over all tokens was -1.4, and its value at the first token was 2.5 standard deviations
    below the mean return.
    """

    def __init__(self, trunk: PreTrainedModel) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(trunk).requires_grad_(True)
        width = trunk.config.get_text_config().hidden_size
        self.head = nn.Linear(width, 1, device=trunk.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the value of the state before each wanted token, with shape (N,)."""
        values: Tensor = self.head(states_at(self.trunk, inputs).float()).squeeze(-1)
        return values


@torch.no_grad()
def values_of(critic: Critic, seen: MicroBatch) -> Tensor:
    """Return the values before the update, with shape (B, L)."""
    return seen.rows.per_answer(critic(seen.rows.inputs))


def critic_for(models: Models) -> Critic:
    """Return a critic on the trunk of the first reward model that reads the policy's own tokens.

    A reward model's trunk already represents the quality of answers. Raises Refused if every
    reward model is an encoder or has another vocabulary or chat template than the policy.
    """
    judges = models.judges.judges
    for judge in judges:
        if judge.same_tokens and not is_encoder(judge.model):
            return Critic(cast(PreTrainedModel, judge.model.base_model))
    refuse_encoder(encoder=is_encoder(judges[0].model))
    refuse_other_tokens(Loaded(models.actor, models.tokenizer), Loaded(judges[0].model, judges[0].tokenizer))
    raise AssertionError("a reward model that reads other tokens was refused above")
