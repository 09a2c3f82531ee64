"""PPO's critic: a model that predicts the remaining rewards of an unfinished answer."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.core.alive import alive
from training.rlhf.core.sharding import is_sharded, shards
from training.rlhf.models.checks.reward import refuse_encoder
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.logprobs import states_at
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.forward.sharding import shard_critic
from training.rlhf.models.loading.pairs import refuse_other_tokens
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.loading.trainable import adapter_module, dtype_of
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.trunks import is_encoder, trunk_of
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.rollout import MicroBatch, Models


class Critic(nn.Module):
    """A trunk with one fp32 output per token: the value of the state in which the next token is chosen.

    By default, the critic has a trunk of its own. With an ``adapter``, it uses the policy's trunk with a
    second adapter, and its only parameters are those of this adapter and of its head. A ``shared`` critic
    uses the policy's trunk without a second adapter. Its only parameters are those of its head, and its loss
    also trains the policy's trunk.

    The head's weights start at 0, so the explained variance of the first values is exactly 0. The reward
    model's own head would be a worse start, because that head was trained only at the ends of answers. On the
    demo, that head's explained variance over all tokens was -1.4, and its value at the first token was 2.5
    standard deviations below the mean return.
    """

    trunk: PreTrainedModel

    def __init__(self, trunk: PreTrainedModel, *, adapter: str | None = None, shared: bool = False) -> None:
        super().__init__()
        self.adapter, self.shared = adapter, shared
        if adapter is None and not shared:
            self.trunk = trunk.requires_grad_(True)
        else:  # a shared trunk is not registered as a module, because its weights belong to the policy
            object.__setattr__(self, "trunk", trunk)
        if adapter is not None:
            self.matrices = adapter_module(trunk, adapter)
        width = trunk.config.get_text_config().hidden_size
        self.head = nn.Linear(width, 1, device=trunk.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Inputs, *, trains_policy: bool = True) -> Tensor:
        """Return the value of the state before each wanted token, with shape (N,). The caller must also run
        the backward pass inside `active`. If ``trains_policy`` is false, no gradient flows into a shared
        trunk."""
        alive()
        learns = torch.is_grad_enabled() and (trains_policy or not self.shared)
        with self.active(), torch.set_grad_enabled(learns):
            states = states_at(self.trunk, inputs)
        return self.values_at(states)

    def values_at(self, states: Tensor) -> Tensor:
        """Return the values, with shape (N,), of the trunk's final states, which have shape (N, d)."""
        values: Tensor = self.head(states.float()).squeeze(-1)
        # FSDP warns if an output is a view.
        return values.clone() if is_sharded(self) else values

    def active(self) -> AbstractContextManager[None]:
        """Inside the context, the trunk uses the critic's adapter, if there is one (see `lora.using`)."""
        return nullcontext() if self.shared else lora.using(self.trunk, self.adapter)


@torch.no_grad()
def values_of(critic: Critic, seen: MicroBatch, states: Tensor | None = None) -> Tensor:
    """Return the values before the update, with shape (B, L). A shared critic reads the policy's ``states``
    of these rows, if they are given, instead of running a second forward pass."""
    if critic.shared and states is not None:
        return seen.rows.per_answer(critic.values_at(states))
    return seen.rows.per_answer(critic(seen.rows.inputs))


def critic_for(models: Models, config: PPOConfig) -> Critic:
    """Return the recipe's critic: a head on the policy's states, an adapter on the policy's trunk, or a model
    of its own.

    A separate critic starts as a copy of the trunk of the first reward model that reads the policy's own
    tokens. Such a trunk already represents the quality of answers. For the same reason, an adapter starts as
    a copy of the reward model's adapter if the reward model shares the policy's trunk. Otherwise, the
    critic's adapter starts as a copy of the policy's adapter. Raises Refused if a separate critic is needed
    and every reward model is an encoder, or has a vocabulary or chat template that differs from the policy's.
    """
    judges = models.judges.judges
    if config.critic_kind == "shared":
        return Critic(cast(PreTrainedModel, trunk_of(models.actor)), shared=True)
    if config.critic_kind == "adapter":
        source = next((judge.adapter for judge in judges if judge.adapter), lora.POLICY)
        lora.copy_adapter(models.actor, source, lora.CRITIC, trained=True)
        return Critic(cast(PreTrainedModel, trunk_of(models.actor)), adapter=lora.CRITIC)
    for judge in judges:
        if judge.same_tokens and not is_encoder(judge.model):
            trunk = judge.model.base_model
            own = copy.deepcopy(trunk) if judge.adapter is None else lora.merged_copy(trunk, judge.adapter)
            critic = Critic(cast(PreTrainedModel, own))
            if shards(config):
                shard_critic(critic, own, critic.head, dtype=dtype_of(config))
            if config.gradient_checkpointing:
                recompute_layers(own)
            return critic
    refuse_encoder(encoder=is_encoder(judges[0].model))
    refuse_other_tokens(Loaded(models.actor, models.tokenizer), Loaded(judges[0].model, judges[0].tokenizer))
    raise AssertionError("a reward model that reads other tokens should have been refused above")
