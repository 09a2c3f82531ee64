"""Sample answers from a policy, score them, and run them through the policy and the reference. PPO and RLOO
share these functions.

The result of each function depends only on its arguments and on (seed, step). A loop that uses these
functions has no random state to save.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.alive import counted, counting
from training.rlhf.core.failures import FailureKind
from training.rlhf.core.messages import Messages
from training.rlhf.core.seeds import generator_for, seeds_from
from training.rlhf.core.sharding import in_step, is_sharded, shards, stopping_together
from training.rlhf.data.answers import Answers, Row, Together, lay_out_rows, shared_layout, split_rows
from training.rlhf.data.batching import Layout
from training.rlhf.generation.engines import LocalEngine, open_engine
from training.rlhf.generation.interface import Completion, Engine, Sampling
from training.rlhf.generation.prompts import EncodedPrompts, encode_prompts
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judges import Asked, Judged, Judges, open_judges
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.forward.logprobs import outputs_of, token_log_probs
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.forward.sharding import complete_model, shard_model
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.loading.trainable import dtype_of, open_trainable
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.rollouts import RolloutConfig
from training.rlhf.rollouts.reference import Reference, reference_of
from training.rlhf.rollouts.sampler import refuse_unknown_sampler, sampler_log_probs

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Models:
    """The policy in training (`actor`), the model from which its KL divergence is measured (`reference`), and
    the frozen reward models. At the start, the reference computes exactly what the policy computes. All
    models that process the rollout's rows support `layout`. `engine` generates the policy's answers."""

    actor: PreTrainedModel
    reference: Reference
    tokenizer: PreTrainedTokenizerBase
    judges: Judges
    layout: Layout = "separate"
    engine: Engine = field(default_factory=LocalEngine)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The answers that were sampled in one step, with their scores.

    `asked` contains the prompts with their answers as they were scored, with one EOS at the end of each
    answer. `prompts` contains the token IDs of P prompts, and `answers` contains the K answers to each of
    them. `rows` contains all answers with their prompts in one list of length N = P · K. The scores are in
    the order of the rows. `temperature` is the sampling temperature. All log-probabilities of these answers
    use the same temperature.
    """

    step: int
    temperature: float
    prompts: list[list[int]]
    answers: list[list[Completion]]
    rows: list[Row]
    finished: Tensor
    lengths: Tensor
    judged: Judged
    asked: list[Asked] = field(default_factory=list)

    def rewards(self, config: RolloutConfig) -> Tensor:
        """Return the reward of each answer, with shape (N,), in standard deviations: the clipped score minus
        the penalties. The KL penalty is not included."""
        scores = self.judged.scores.clamp(-config.score_clip, config.score_clip)
        return scores - config.missing_eos_penalty * ~self.finished - config.length_penalty * self.lengths


class Position(NamedTuple):
    """A place in the endless sequence of prompts: the number of complete passes over all prompts, and the
    number of prompts used in the current pass."""

    passes: int
    used: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows of a rollout that the models process together, and the models' outputs for these rows before the
    update.

    The rows have the same layout here and in every epoch of the update, so that the results are bitwise
    equal. `numbers` are the rows' positions in the rollout. `log_probs` and `reference`, with shape (B, L),
    are in nats and are 0 in padding. `sampler`, with shape (mask.sum(),), contains the log-probabilities from
    the engine that sampled the tokens. `sampler` is None if the engine computed with the same weights in this
    process.
    """

    layout: Layout
    numbers: list[int]
    rows: Answers
    log_probs: Tensor
    reference: Tensor
    sampler: Tensor | None = None

    @property
    def mask(self) -> Tensor:
        return self.rows.mask

    @property
    def places(self) -> int:
        """The number of token positions that the models process, including padding."""
        return self.rows.inputs.places

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.numbers)

    def halves(self, models: Models, rollout: Rollout) -> list[MicroBatch]:
        """Return the first and the second half of the rows. A single row is not divided."""
        return [self._part(models, rollout, rows) for rows in halves_of(len(self.numbers))]

    def _part(self, models: Models, rollout: Rollout, rows: slice) -> MicroBatch:
        numbers = self.numbers[rows]
        laid_out = lay_out_numbers(models, rollout, Together(self.layout, numbers))
        width = laid_out.mask.shape[1]
        return MicroBatch(
            self.layout,
            numbers,
            laid_out,
            self.log_probs[rows, :width],
            self.reference[rows, :width],
            sampler_log_probs(rollout.answers, numbers, device=models.actor.device),
        )


def halves_of(n: int) -> list[slice]:
    return [slice(0, n)] if n == 1 else [slice(0, n // 2), slice(n // 2, n)]


def load_models(
    policy: ModelSource,
    reward_models: ModelSource | Mapping[str, ModelSource],
    config: RolloutConfig,
    *,
    out_dir: str | Path = "",
) -> Models:
    """Load the policy and one reward model or several named reward models. Raises ModelNotFound if a model is
    missing, and Refused if a model can't be used."""
    if not isinstance(reward_models, Mapping):
        reward_models = {"reward": reward_models}
    actor, tokenizer = open_trainable(policy, config, out_dir=out_dir, divide=False)
    judges = open_judges(reward_models, config, policy=Loaded(actor, tokenizer), dtype=dtype_of(config))
    reference = reference_of(actor, config.reference)
    if shards(config):
        for model in (actor, reference.model):
            shard_model(model, dtype=dtype_of(config))
    if config.gradient_checkpointing:
        recompute_layers(actor)
    layout = shared_layout(actor, reference.model)
    return Models(actor, reference, tokenizer, judges, layout, open_engine(config))


def usable_prompts(
    config: RolloutConfig, models: Models, prompts: Sequence[Messages], *, context: int | None = None
) -> EncodedPrompts:
    """Encode the prompts, and truncate those that leave no room for an answer in the context (by default,
    the policy's context). Raises UnusableInput if there are no prompts or if an answer doesn't fit."""
    # One position is reserved for the EOS that is appended to a truncated answer.
    longest = config.max_new_tokens + 1
    for judge in models.judges.judges:
        if judge.same_tokens and longest >= judge.limit:
            raise Refused(
                f"an answer of {config.max_new_tokens} tokens leaves no room for a prompt: a reward model "
                f"({judge.name}) reads at most {judge.limit} tokens. Lower max_new_tokens",
                FailureKind.TEXTS_TOO_LONG,
            )
    context = context or chat.context_length(models.actor)
    return encode_prompts(models.tokenizer, prompts, limit=context - longest)


def choose_prompts(seed: int, position: Position, *, count: int, of: int) -> tuple[list[int], Position]:
    """Return the indices of the next `count` prompts, and the position after them.

    `of` is the total number of prompts. Every pass over the prompts has its own random order, and each prompt
    occurs once per pass.
    """
    chosen: list[int] = []
    passes, used = position
    while len(chosen) < count:
        order = torch.randperm(of, generator=generator_for(seed, "prompts", passes)).tolist()
        part = order[used : used + count - len(chosen)]
        chosen += part
        used += len(part)
        if used == of:
            passes, used = passes + 1, 0
    return chosen, Position(passes, used)


def temperature_at(config: RolloutConfig, step: int) -> float:
    """Return the sampling temperature of a step. The temperature changes linearly from `temperature` in the
    first step to `temperature_end` in the last step."""
    if config.temperature_end is None or config.steps == 1:
        return config.temperature
    # The rollout after the last step uses the temperature of the last step.
    share = min(1.0, (step - 1) / (config.steps - 1))
    return config.temperature + share * (config.temperature_end - config.temperature)


def sample_rollout(
    config: RolloutConfig,
    models: Models,
    prompts: EncodedPrompts,
    chosen: Sequence[int],
    *,
    step: int,
    floors: FloorState | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rollout:
    """Answer the chosen prompts with the policy and score the answers. `floors`, the state of the rewards'
    floors, must be given if the recipe has `reward_floors`. `progress` is called every few seconds with the
    number of answers so far and the total.

    Answers are sampled from the policy's whole distribution. With top-k or top-p, they would come from a
    policy other than the one in training.

    Each process answers and scores a share of the prompts, and the result contains the answers of all
    processes. Each prompt has its own seed, so its answers don't depend on how the prompts are divided among
    the processes.
    """
    ids, temperature = [prompts.ids[i] for i in chosen], temperature_at(config, step)
    seeds = seeds_from(generator_for(config.seed, "rollout", step), len(ids))
    mine = distributed.share([len(prompt) + config.max_new_tokens for prompt in ids])
    own, judged, sharded = [], None, is_sharded(models.actor)
    with complete_model(models.actor) as actor, stopping_together(sharded=sharded):
        if mine:
            own = models.engine.generate(
                Loaded(actor, models.tokenizer),
                [ids[i] for i in mine],
                Sampling(config.max_new_tokens, config.responses_per_prompt, temperature),
                seeds=[seeds[i] for i in mine],
                progress=lambda done, total: progress(
                    done * len(ids) // len(mine), total * len(ids) // len(mine)
                ),
            )
    with stopping_together(sharded=sharded):
        if mine:
            refuse_unknown_sampler(config, own, temperature)
            messages = [prompts.messages[chosen[i]] for i in mine]
            readings = len(mine) * config.responses_per_prompt * len(models.judges.judges)
            with counting(readings, "answers scored"):
                judged = models.judges.score(
                    asked_about(models, messages, [ids[i] for i in mine], own), floors
                )
    answers, judged = _gathered(mine, own, judged)
    asked = asked_about(models, [prompts.messages[i] for i in chosen], ids, answers)
    sampled = [one for group in answers for one in group]
    return Rollout(
        step=step,
        temperature=temperature,
        prompts=ids,
        answers=answers,
        rows=[Row(prompt, one.ids) for prompt, group in zip(ids, answers, strict=True) for one in group],
        finished=torch.tensor([one.finished for one in sampled]),
        lengths=torch.tensor([len(one.ids) for one in sampled]),
        judged=judged,
        asked=asked,
    )


def _gathered(
    mine: Sequence[int], answers: list[list[Completion]], judged: Judged | None
) -> tuple[list[list[Completion]], Judged]:
    """Return the answers to all prompts and their scores. `mine` contains the indices of the prompts that
    this process has answered."""
    if distributed.count() == 1:
        assert judged is not None
        return answers, judged
    shares = [share for share in distributed.gather_objects((mine, answers, judged)) if share[0]]
    found = {i: group for numbers, groups, _ in shares for i, group in zip(numbers, groups, strict=True)}
    n = len(next(iter(found.values())))
    rows = [i * n + k for numbers, _, _ in shares for i in numbers for k in range(n)]
    return [found[i] for i in sorted(found)], Judged.merged([one for _, _, one in shares if one], rows)


def asked_about(
    models: Models,
    messages: Sequence[Messages],
    prompts: Sequence[list[int]],
    answers: Sequence[Sequence[Completion]],
) -> list[Asked]:
    """Return the prompts with their answers, as they are scored. Each answer has exactly one EOS at its
    end."""
    eos = chat.eos_id(models.tokenizer)
    return [
        Asked(conversation, ids, [one.ended(eos) for one in group])
        for conversation, ids, group in zip(messages, prompts, answers, strict=True)
    ]


def score(
    models: Models,
    messages: Sequence[Messages],
    prompts: Sequence[list[int]],
    answers: Sequence[Sequence[Completion]],
    floors: FloorState | None = None,
) -> Judged:
    """Score the answers to each prompt."""
    return models.judges.score(asked_about(models, messages, prompts, answers), floors)


def split_rollout(
    config: RolloutConfig, models: Models, rollout: Rollout, *, max_tokens: int
) -> list[list[Together]]:
    """Divide a rollout's rows at random into minibatches, each split into micro-batches of at most
    `max_tokens` token positions.

    Minibatches have equal numbers of rows. Answers to the same prompt stay together, as far as the size of
    the minibatches allows, so that they can share the prompt's tokens. Rows are divided once per rollout.
    Every epoch therefore processes a row in the same layout as before the update, and the first ratio is
    exactly 1.

    With several processes, the result contains this process's share of every minibatch. A share can be empty.
    """
    generator = generator_for(config.seed, "minibatches", rollout.step)
    first = torch.tensor([0, *(len(group) for group in rollout.answers)]).cumsum(0).tolist()
    order = torch.randperm(len(rollout.answers), generator=generator).tolist()
    numbers = torch.tensor([number for i in order for number in range(first[i], first[i + 1])])
    hidden_size = int(models.actor.config.get_text_config().hidden_size)
    # If the answers to a prompt share the prompt's tokens, these are processed only once.
    sharing = 1 if models.layout == "separate" else config.responses_per_prompt
    sizes = torch.tensor([len(row.answer) + len(row.prompt) / sharing for row in rollout.rows])
    return [
        split_rows(
            rollout.rows,
            minibatch[distributed.stretch(sizes[minibatch].tolist())].tolist(),
            layout=models.layout,
            max_tokens=max_tokens,
            hidden_size=hidden_size,
        )
        for minibatch in numbers.tensor_split(min(config.minibatches, len(rollout.rows)))
    ]


def observe(models: Models, rollout: Rollout, part: Together) -> MicroBatch:
    """Run rows of the rollout through the policy and the reference, with the forward pass of training."""
    return observe_states(models, rollout, part)[0]


@torch.no_grad()
def observe_states(models: Models, rollout: Rollout, part: Together) -> tuple[MicroBatch, Tensor | None]:
    """Observe rows of the rollout, and also return the policy's final states (see `Outputs`)."""
    rows = lay_out_numbers(models, rollout, part)
    own = outputs_of(models.actor, rows.inputs, temperature=rollout.temperature, entropy=False)
    with models.reference.active() as model:
        reference = token_log_probs(model, rows.inputs, temperature=rollout.temperature)
    seen = MicroBatch(
        part.layout,
        part.numbers,
        rows,
        rows.per_answer(own.log_probs),
        rows.per_answer(reference),
        sampler_log_probs(rollout.answers, part.numbers, device=models.actor.device),
    )
    return seen, own.states


def counting_observations(minibatches: Sequence[Sequence[Together]]) -> AbstractContextManager[None]:
    """Inside the context, `observations` of these minibatches are counted (`core.alive.counting`)."""
    rows = sum(len(part.numbers) for parts in minibatches for part in parts)
    return counting(rows, "answers compared with the reference")


def observations(
    models: Models,
    rollout: Rollout,
    parts: Sequence[Together],
    use: Callable[[MicroBatch, Tensor | None], Result],
) -> list[Result]:
    """Observe micro-batches. For each micro-batch, call ``use`` with the micro-batch and the policy's final
    states (see `Outputs`), and return the results of these calls. ``use`` can run further models."""
    found: list[Result] = []

    def process(part: Together, counts: bool) -> None:
        result = use(*observe_states(models, rollout, part))
        if counts:
            found.append(result)
            counted(len(part.numbers))

    in_step(models.actor, parts, lambda: spare_part(models, rollout), process)
    return found


def spare_part(models: Models, rollout: Rollout) -> Together:
    """Return the shortest row of the rollout, for passes whose results are ignored (`in_step`)."""
    shortest = min(range(len(rollout.rows)), key=lambda number: rollout.rows[number].length)
    return Together(models.layout, [shortest])


def spare_micro_batch(models: Models, rollout: Rollout) -> MicroBatch:
    """Return a micro-batch with only the shortest row of the rollout, and with log-probabilities of 0."""
    part = spare_part(models, rollout)
    rows = lay_out_numbers(models, rollout, part)
    zeros = torch.zeros(rows.mask.shape, device=rows.mask.device)
    sampler = sampler_log_probs(rollout.answers, part.numbers, device=models.actor.device)
    return MicroBatch(part.layout, part.numbers, rows, zeros, zeros, sampler)


def lay_out_numbers(models: Models, rollout: Rollout, part: Together) -> Answers:
    return lay_out_rows(
        [rollout.rows[i] for i in part.numbers],
        layout=part.layout,
        pad_id=chat.eos_id(models.tokenizer),
        device=models.actor.device,
    )
