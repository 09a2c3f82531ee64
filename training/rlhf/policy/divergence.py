"""The distance of a trained policy from its starting policy: the KL, and the change of the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.memory import halves_of, within_memory
from training.rlhf.core.messages import Messages
from training.rlhf.core.seeds import generator_for, seeds_from
from training.rlhf.core.sharding import is_sharded, stopping_together, whole
from training.rlhf.data.batching import Group
from training.rlhf.generation.decoding import generate
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.loading.trainable import change_from_start, dtype_of
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.trunks import has_adapters
from training.rlhf.models.tokens import chat
from training.rlhf.policy.preference_rows import RankingRows, score_responses
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.sft import SFTConfig


def distance_from_start(
    config: SFTConfig | DPOConfig,
    policy: Loaded,
    start: ModelSource,
    prompts: Sequence[Messages],
    *,
    optimiser: torch.optim.Optimizer,
    check: Callable[[], None],
) -> dict[str, float]:
    """Return the metrics `objective/kl` and `parameters/change` at the end of a run (see `measured`).

    The result is empty if ``start`` is a model in memory and all of its weights were trained, because the
    starting weights no longer exist. Without ``kl_samples``, only the change of an adapter is returned.
    With ``kl_samples``, the optimiser's moments are freed, so no update can follow.
    """
    if not has_adapters(policy.model) and isinstance(start, Loaded):
        return {}
    if not config.kl_samples:
        return change_from_start(policy.model)
    optimiser.state.clear()  # makes room for the starting policy
    return measured(
        policy,
        start,
        prompts[: config.kl_samples],
        dtype=dtype_of(config),
        max_new_tokens=config.sample_tokens,
        max_tokens=config.micro_batch_tokens,
        seed=config.seed,
        check=check,
    )


@torch.no_grad()
def measured(
    policy: Loaded,
    start: ModelSource,
    prompts: Sequence[Messages],
    *,
    dtype: torch.dtype = torch.float32,
    max_new_tokens: int,
    max_tokens: int,
    seed: int,
    check: Callable[[], None],
) -> dict[str, float]:
    """Return `objective/kl`, an estimate of KL(policy || start) in nats per answer, and `parameters/change`,
    the norm of the difference between the weights of the two policies.

    The estimate is the mean log-ratio of one sampled answer per prompt, like PPO's `objective/kl`. An answer
    has at most ``max_new_tokens`` tokens. ``start`` is a folder or a hub name. The starting policy is loaded
    only after the trained policy has answered, and needs as much memory as the trained policy's weights. If
    an adapter was trained, the policy's own trunk is the starting policy, and nothing is loaded.
    """
    room = min(max_new_tokens, chat.context_length(policy.model) - 1)
    encoded = [chat.encode_prompt(policy.tokenizer, messages) for messages in prompts]
    fitting, _ = chat.cut_prompts(encoded, chat.context_length(policy.model) - room)
    seeds = seeds_from(generator_for(seed, "kl"), len(fitting))

    def log_probs(model: PreTrainedModel, groups: Sequence[Group]) -> Tensor:
        rows = RankingRows.of(
            groups,
            [],
            pad_id=chat.pad_id(policy.tokenizer),
            max_tokens=max_tokens,
            policy=model,
        )
        found = torch.zeros(rows.n_responses)

        def read(part: Sequence[int]) -> Tensor:
            check()
            responses = score_responses(model, rows, part)
            return responses.log_probs[responses.slots].cpu()

        for part, log_probs in within_memory(
            model,
            rows.micro_batches(range(len(groups))),
            read,
            size=lambda part: rows.largest([part]),
            halves=halves_of,
            what="measuring the KL divergence",
        ):
            found[rows.places(part)] = log_probs
        return found  # the entries of other processes' shares are 0

    sharded = is_sharded(policy.model)
    with complete_model(policy.model) as model, stopping_together(sharded=sharded):
        answers = generate(model, policy.tokenizer, fitting, max_new_tokens=room, seed=seeds, check=check)
        groups = [Group(prompt, [row[0].ids], []) for prompt, row in zip(fitting, answers, strict=True)]
        of_policy = log_probs(model, groups)
    distributed.sum_tensors(of_policy)
    if has_adapters(policy.model):
        with lora.using(policy.model, lora.start_of(policy.model)):
            of_start = log_probs(policy.model, groups)
        change = change_from_start(policy.model)
    else:
        assert not isinstance(start, Loaded)
        with stopping_together(sharded=sharded):
            first = load_policy(start, dtype=dtype).model
            of_start = log_probs(first, groups)
        change = {"parameters/change": norm_of_change(policy.model, first)}
    distributed.sum_tensors(of_start)
    return {"objective/kl": float((of_policy - of_start).mean())} | change


def norm_of_change(model: PreTrainedModel, start: PreTrainedModel) -> float:
    """Return the norm of the difference between the weights of two models of the same architecture. If the
    first model is sharded, its weights are gathered one at a time."""
    before = dict(start.named_parameters())
    squares = [
        (whole(one.detach(), dtype=before[name].dtype).float() - before[name].float()).square().sum()
        for name, one in model.named_parameters()
    ]
    return float(torch.stack(squares).sum().sqrt())
