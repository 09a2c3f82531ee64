"""In a step of PPO, the rollout and the update use the correct inputs and leave all other state unchanged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.ppo.test_ppo import EOS, PROMPTS, config_of, loaded, reward_model, rollout_of
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.seeds import generator_for
from training.rlhf.data.answers import Answers, Row, lay_out_rows
from training.rlhf.generation.prompts import EncodedPrompts, encode_prompts
from training.rlhf.models.forward import projection
from training.rlhf.models.forward.logprobs import log_probs_and_entropies, token_log_probs
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo, ppo_gradients, ptx
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts import rollout
from training.rlhf.rollouts.ceiling import ceiling_kl, mean_kl
from training.rlhf.rollouts.reference import weights_of

NOTHING = 1e-300  # a learning rate that doesn't change a weight in single precision
# The number of tokens that are projected at a time, and the layout of the rows.
LAYOUTS: list[tuple[int, dict[str, Any]]] = [
    (256, {"micro_batch_tokens": 1, "minibatches": 3}),
    (5, {"micro_batch_tokens": 60, "minibatches": 1}),
    (3, {"micro_batch_tokens": 10_000, "minibatches": 2}),
]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("judge"))


def state_of(
    judge: Path, make: Callable[[], PreTrainedModel] = tiny.policy, **changes: Any
) -> tuple[PPOConfig, ppo.PPOState, EncodedPrompts]:
    config = config_of(**changes)
    state = ppo.new_state(config, loaded(Loaded(make(), tiny.tokenizer()), judge, **changes))
    return config, state, encode_prompts(state.models.tokenizer, PROMPTS, limit=100)


def laid_out(*rows: Row) -> Answers:
    return lay_out_rows(rows, layout="separate", pad_id=EOS, device=torch.device("cpu"))


def dropping_gpt2() -> PreTrainedModel:
    """A GPT-2 with dropout, in train mode."""
    config = GPT2Config(
        vocab_size=69, n_embd=32, n_layer=2, n_head=2, n_positions=128, bos_token_id=2, eos_token_id=EOS,
        pad_token_id=0, resid_pdrop=0.2, embd_pdrop=0.2, attn_pdrop=0.2,
    )  # fmt: skip
    return GPT2LMHeadModel(config).train()


@pytest.mark.parametrize(("chunk", "layout"), LAYOUTS)
@pytest.mark.parametrize(
    "make", [*tiny.POLICIES.values(), dropping_gpt2], ids=[*tiny.POLICIES, "gpt2 with dropout"]
)
def test_log_ratio_is_exactly_zero_at_a_learning_rate_of_zero(
    make: Callable[[], PreTrainedModel],
    chunk: int,
    layout: dict[str, Any],
    judge: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log-ratio is zero in every epoch, for any padding, any division into micro-batches and chunks of
    tokens, and any order of the micro-batches."""
    monkeypatch.setattr(projection, "CHUNK_LOGITS", 1)
    monkeypatch.setattr(projection, "MIN_CHUNK_TOKENS", chunk)
    settings = {"epochs": 2, "temperature": 0.7, "learning_rate": NOTHING, "value_learning_rate": NOTHING}
    config, state, prompts = state_of(judge, make, **settings, **layout)
    metrics = ppo.update(config, state, ppo.roll_out(config, state, prompts))
    assert metrics["val/first_log_ratio"] == 0.0
    assert metrics["policy/approxkl_avg"] == 0.0
    assert metrics["val/ratio"] == pytest.approx(1.0, abs=1e-12)
    assert metrics["val/ratio_var"] == pytest.approx(0.0, abs=1e-12)
    assert metrics["policy/clipfrac_avg"] == metrics["objective/kl"] == 0.0
    assert metrics["updates"] == 2 * layout["minibatches"]


def gradients(module: torch.nn.Module) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in module.parameters() if weight.grad is not None])


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_gradients_do_not_depend_on_the_micro_batches(estimator: str, judge: Path) -> None:
    found = []
    settings = {"minibatches": 1, "kl_estimator": estimator, "entropy_coefficient": 0.1, "dual_clip": 3.0}
    for tokens in (1, 50, 10_000):
        config, state, prompts = state_of(judge, micro_batch_tokens=tokens, **settings)
        with torch.no_grad():  # makes the reference differ from the policy, so that the KL has a gradient
            for weight in state.models.reference.model.parameters():
                weight.mul_(0.8)
            state.critic.head.weight.fill_(0.1)
        batch = ppo.roll_out(config, state, prompts)
        [parts] = batch.minibatches
        total = sum(int(part.seen.mask.sum()) for part in parts)
        for part in parts:
            ppo_gradients.policy_backward(config, state, part, total, 1.0)
            ppo_gradients.critic_backward(config, state.critic, part, total)
        found.append((len(parts), gradients(state.models.actor), gradients(state.critic)))
    numbers = [parts for parts, _, _ in found]
    assert numbers[0] == 16 > numbers[1] > numbers[2]
    for _, policy, critic in found[1:]:
        assert torch.allclose(policy, found[0][1], atol=1e-5)
        assert torch.allclose(critic, found[0][2], atol=1e-5)
    assert found[0][1].abs().max() > 1e-2


def test_shared_critic_and_policy_are_trained_in_one_pass(judge: Path) -> None:
    config, state, prompts = state_of(judge, critic="shared", critic_warmup_steps=0, minibatches=1)
    torch.nn.init.normal_(state.critic.head.weight, std=0.3, generator=torch.Generator().manual_seed(1))
    trunk, passes = state.critic.trunk, list[int]()
    # The first pass of a model also tests how its logits are computed.
    token_log_probs(state.models.actor, laid_out(Row([5], [6])).inputs, temperature=1.0)
    watched = trunk.register_forward_hook(lambda *_: passes.append(1))
    batch = ppo.roll_out(config, state, prompts)
    [parts] = batch.minibatches
    rolled_out, total = len(passes), sum(int(part.seen.mask.sum()) for part in parts)
    given: dict[str, Any] = {"trains_policy": True, "trains_critic": True, "demonstrations": []}
    given |= {"spare": lambda: pytest.fail("only sharded models need a spare micro-batch")}
    metrics, _ = ppo.minibatch_backward(
        config, state, parts, tokens=total, temperature=1.0, place=(1, 0, 0), **given
    )
    together = {name: one.grad for name, one in state.models.actor.named_parameters()}
    assert len(passes) - rolled_out == len(parts)
    watched.remove()
    for part in parts:  # the rollout's values are those of the critic's own pass
        with torch.no_grad():
            assert torch.equal(part.values[part.seen.mask], state.critic(part.seen.rows.inputs))
    state.models.actor.zero_grad()
    for part in parts:
        apart = ppo_gradients.policy_backward(config, state, part, total, 1.0)[0]
        apart |= ppo_gradients.critic_backward(config, state.critic, part, total)
        for name, value in apart.items():
            metrics[name] -= value
    assert max(map(abs, metrics.values())) < 1e-6
    for name, one in state.models.actor.named_parameters():
        assert one.grad is not None
        torch.testing.assert_close(together[name], one.grad, rtol=0, atol=1e-6, msg=name)


def test_critic_warm_up_changes_neither_optimiser_nor_schedule_of_the_policy(judge: Path) -> None:
    config, state, prompts = state_of(judge, steps=5, critic_warmup_steps=2)
    before = {name: weight.clone() for name, weight in weights_of(state.models.actor).items()}
    for _ in range(2):
        metrics = ppo.update(config, state, ppo.roll_out(config, state, prompts))
        assert metrics["lr"] == 0.0
        assert "loss/value_avg" in metrics
        assert "loss/policy_avg" not in metrics
        assert all(weight.grad is None for weight in state.models.actor.parameters())
    assert not state.policy_optimiser.state
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(state.models.actor).items())
    rates = []
    for _ in range(3):
        rates.append(ppo.update(config, state, ppo.roll_out(config, state, prompts))["lr"])
    assert rates == pytest.approx([1e-3, 1e-3 * 2 / 3, 1e-3 / 3])
    assert {int(values["step"]) for values in state.policy_optimiser.state.values()} == {3 * 4}


def test_different_seeds_or_steps_do_not_share_random_numbers(judge: Path) -> None:
    """With `seed + step` as the seed of a step, step 1 of seed 1 would repeat step 2 of seed 0."""
    seen = set()
    for seed, step in ((0, 1), (0, 2), (1, 1), (1, 2), (2, 1)):
        config, state, prompts = state_of(judge, seed=seed)
        sampled = rollout.sample_rollout(config, state.models, prompts, [1] * 8, step=step)
        seen.add(str([row.answer for row in sampled.rows]))
    assert len(seen) == 5


def test_random_numbers_of_answers_and_prompts_and_steps_are_independent(judge: Path) -> None:
    """All tokens are equally likely, so an answer's first token shows its random number. For independent
    numbers, the statistic exceeds 44.3 with a probability of 1e-4."""

    def uniform() -> PreTrainedModel:
        model = tiny.policy()
        model.lm_head = torch.nn.Linear(32, 69, bias=False)
        torch.nn.init.zeros_(model.lm_head.weight)
        return model

    config, state, prompts = state_of(judge, uniform, responses_per_prompt=4, max_new_tokens=1)
    steps = [
        rollout.sample_rollout(config, state.models, prompts, [1] * 64, step=step) for step in range(1, 9)
    ]
    first = torch.tensor([[[one.ids[0] for one in group] for group in step.answers] for step in steps])
    quarter = first * 4 // 69  # of shape (steps, prompts, answers)
    for dim in range(3):
        size = quarter.shape[dim]
        one, next_one = quarter.narrow(dim, 0, size - 1), quarter.narrow(dim, 1, size - 1)
        table = torch.bincount((4 * one + next_one).flatten(), minlength=16).view(4, 4).double()
        expected = table.sum(dim=1, keepdim=True) * table.sum(dim=0, keepdim=True) / table.sum()
        assert float(((table - expected) ** 2 / expected).sum()) < 44.3, ("steps", "prompts", "answers")[dim]
    counts = torch.bincount(quarter.flatten(), minlength=4).double()
    shares = torch.bincount(torch.arange(69) * 4 // 69) / 69
    assert float(((counts - shares * counts.sum()) ** 2 / (shares * counts.sum())).sum()) < 21.1


def test_every_pass_uses_each_prompt_once_in_a_new_order() -> None:
    position, passes = rollout.START, []
    drawn: list[int] = []
    for _ in range(5):
        chosen, position = rollout.choose_prompts(3, position, count=4, of=7)
        drawn += chosen
    passes = [drawn[:7], drawn[7:14]]
    assert [sorted(one) for one in passes] == [list(range(7))] * 2
    assert passes[0] != passes[1]
    assert position == (2, 6)
    everything, _ = rollout.choose_prompts(3, rollout.START, count=20, of=7)
    assert everything == drawn


def test_ratios_in_the_metrics_are_clamped_as_in_the_loss(judge: Path) -> None:
    config, state, prompts = state_of(judge)
    part = ppo.roll_out(config, state, prompts).minibatches[0][0]
    far = dataclasses.replace(part, seen=dataclasses.replace(part.seen, log_probs=part.seen.log_probs - 100))
    metrics, _ = ppo_gradients.policy_backward(config, state, far, int(part.seen.mask.sum()), 1.0)
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["val/ratio"] == pytest.approx(math.exp(20), rel=1e-4)


def test_entropy_bonus_has_the_gradient_of_the_entropy(judge: Path) -> None:
    model = tiny.policy()
    inputs = laid_out(Row([5, 6], [7, 8, EOS]), Row([9], [10])).inputs
    _, entropy = log_probs_and_entropies(model, inputs, temperature=0.7)
    (found,) = torch.autograd.grad(entropy.sum(), model.lm_head.weight)
    logits = model(**inputs.given).logits.double() / 0.7
    chosen = torch.distributions.Categorical(logits=logits.flatten(0, 1)[inputs.sources])
    (expected,) = torch.autograd.grad(chosen.entropy().sum(), model.lm_head.weight)
    assert torch.allclose(entropy.double(), chosen.entropy(), atol=1e-5)
    assert torch.allclose(found, expected, atol=1e-4)
    assert expected.abs().max() > 0.1


def test_ptx_adds_the_gradient_of_the_mean_negative_log_likelihood() -> None:
    model, words = tiny.policy(), tiny.tokenizer()
    config = config_of(ptx_coefficient=0.5, ptx_batch_size=6)
    shown = [Demonstration(PROMPTS[n], tiny.words(*range(n + 1))) for n in range(4)]
    rows = ptx.encode_demonstrations(config, words, shown, context=100)
    generator = generator_for(0, "demonstrations", 1)
    loss = ptx.ptx_backward(config, model, words, rows, generator, max_tokens=30)
    found = gradients(model)
    drawn = torch.randint(4, (6,), generator=generator_for(0, "demonstrations", 1)).tolist()
    model.zero_grad()
    log_probs = []
    for row in (rows[n] for n in drawn):
        logits = model(torch.tensor([row.prompt + row.answer])).logits[0].log_softmax(-1)
        log_probs.append(logits[range(len(row.prompt) - 1, row.length - 1), row.answer])
    expected = -torch.cat(log_probs).mean()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    (0.5 * expected).backward()
    assert torch.allclose(found, gradients(model), atol=1e-5)


def test_ptx_without_usable_demonstrations_is_refused() -> None:
    config = config_of(ptx_coefficient=0.1)
    long = [Demonstration(PROMPTS[0], tiny.words(*range(30)))]
    reason = r"ptx_coefficient is 0.1, but .* left out: 1 response_too_long"
    with pytest.raises(UnusableInput, match=reason) as caught:
        ptx.encode_demonstrations(config, tiny.tokenizer(), long, context=20)
    assert caught.value.kind == FailureKind.TEXTS_TOO_LONG
    assert ptx.encode_demonstrations(config_of(), tiny.tokenizer(), [], context=20) == []


def test_reference_is_fixed_or_averaged_or_reset_as_the_recipe_specifies(judge: Path) -> None:
    def after_three_steps(**changes: Any) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        config, state, prompts = state_of(judge, steps=3, **changes)
        weights = [{name: weight.clone() for name, weight in weights_of(state.models.actor).items()}]
        for _ in range(3):
            ppo.update(config, state, ppo.roll_out(config, state, prompts))
            weights.append({name: weight.clone() for name, weight in weights_of(state.models.actor).items()})
        return weights, state.models.reference.weights()

    for changes in (
        {"reference": "fixed"},
        {"reference": "ema", "reference_decay": 0.8},
        {"reference": "reset", "reference_steps": 2},
    ):
        policy, reference = after_three_steps(**changes)
        for name, found in reference.items():
            start, one, two, three = (weights[name] for weights in policy)
            expected = {
                "fixed": start,
                "ema": 0.512 * start + 0.2 * (0.64 * one + 0.8 * two + three),
                "reset": two,
            }[str(changes["reference"])]
            assert torch.allclose(found, expected, atol=1e-6), (changes, name)
            assert not torch.equal(start, three)


@pytest.mark.parametrize("whiten", [False, True], ids=["plain", "whitened rewards"])
def test_rewards_and_advantages_of_a_rollout_follow_the_recipe(whiten: bool, judge: Path) -> None:
    """Compare with rewards, GAE and whitening that simple loops compute in double precision from the
    rollout's values and log-probabilities."""
    gamma, lam, beta = 0.9, 0.8, 0.3
    config, state, prompts = state_of(
        judge, gamma=gamma, gae_lambda=lam, kl_coefficient=beta, whiten_rewards=whiten, length_penalty=0.1
    )
    with torch.no_grad():  # makes the reference differ from the policy, and the values from 0
        for weight in state.models.reference.model.parameters():
            weight.mul_(0.8)
        state.critic.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    batch = ppo.roll_out(config, state, prompts)
    ends = batch.rollout.rewards(config).tolist()
    rows: list[tuple[list[float], list[float]]] = []  # the rewards and the values of each answer
    found: list[tuple[list[float], list[float]]] = []  # the advantages and the returns of each answer
    for part in (part for parts in batch.minibatches for part in parts):
        for i, number in enumerate(part.seen.numbers):
            real = part.seen.mask[i]
            kl = (part.seen.log_probs[i] - part.seen.reference[i])[real].double()
            rewards = (-beta * kl).tolist()
            rewards[-1] += ends[number]
            rows.append((rewards, part.values[i][real].double().tolist()))
            found.append((part.advantages[i][real].tolist(), part.returns[i][real].tolist()))
    every = torch.tensor([one for rewards, _ in rows for one in rewards], dtype=torch.float64)
    mean, scale = (float(every.mean()), float(every.std(unbiased=False))) if whiten else (0.0, 1.0)
    advantages, returns = list[float](), list[float]()
    for rewards, values in rows:
        scaled = [(one - mean) / scale + mean for one in rewards]
        following = [*values[1:], 0.0]
        advantage, mine = 0.0, list[float]()
        for t in reversed(range(len(values))):
            advantage = scaled[t] + gamma * following[t] - values[t] + gamma * lam * advantage
            mine.insert(0, advantage)
        advantages += mine
        returns += [a + v for a, v in zip(mine, values, strict=True)]
    whitened = torch.tensor(advantages, dtype=torch.float64)
    whitened = (whitened - whitened.mean()) / whitened.std(unbiased=False)
    assert [one for _, each in found for one in each] == pytest.approx(returns, abs=1e-4)
    assert [one for each, _ in found for one in each] == pytest.approx(whitened.tolist(), abs=1e-4)
    assert every.std() > 0.05
    assert torch.tensor(returns).std() > 0.05


def test_temperature_changes_linearly_and_applies_to_log_probabilities_too(judge: Path) -> None:
    config, state, prompts = state_of(judge, steps=5, temperature=1.0, temperature_end=0.6)
    assert [rollout.temperature_at(config, n) for n in range(1, 6)] == pytest.approx([1, 0.9, 0.8, 0.7, 0.6])
    state.step = 4
    batch = ppo.roll_out(config, state, prompts)
    seen = batch.minibatches[0][0].seen
    cooler = token_log_probs(state.models.actor, seen.rows.inputs, temperature=0.6)
    assert torch.equal(seen.log_probs[seen.mask], cooler)
    assert batch.metrics["temperature"] == pytest.approx(0.6)


def test_rewards_are_scores_minus_the_penalties_for_truncation_and_length() -> None:
    config = config_of(missing_eos_penalty=2.0, length_penalty=0.25, score_clip=3.0)
    one = rollout_of([Row([5], [6, EOS]), Row([5], [6, 7, 8])])
    scored = dataclasses.replace(one, judged=dataclasses.replace(one.judged, scores=torch.tensor([1.0, 9.0])))
    assert scored.rewards(config).tolist() == [1.0 - 0.5, 3.0 - 2.0 - 0.75]


def train(folder: Path, judge: Any, make: Callable[[], PreTrainedModel] = tiny.policy, **changes: Any) -> Any:
    report = ListReporter()
    prompts = changes.pop("prompts", PROMPTS)
    ppo.train(
        config_of(samples=0, **changes),
        policy=Loaded(make(), tiny.tokenizer()),
        reward_model=judge,
        prompts=prompts,
        out_dir=folder / "out",
        checkpoints=folder / "checkpoints",
        report=report,
    )
    return report


def test_ceiling_kl_measures_a_distance_that_the_sampled_kl_misses() -> None:
    """The test sets the probabilities of the sampled tokens. In the first pair, the policy made the sampled
    tokens less likely. In the second pair, the policy always picks tokens to which the reference assigns
    a probability of 1 %."""
    rows = laid_out(Row([5], [6, 7]))

    def seen(policy: float, reference: float) -> rollout.MicroBatch:
        new, old = (torch.tensor([[probability, probability]]).log() for probability in (policy, reference))
        return rollout.MicroBatch("separate", [0], rows, new, old)

    near, far = seen(0.4, 0.5), seen(1.0, 0.01)
    assert mean_kl([near]) == pytest.approx(2 * math.log(0.8), abs=1e-6)  # the mean is negative
    assert ceiling_kl([near]) == pytest.approx(2 * (1.25 - 1 - math.log(1.25)), abs=1e-6)
    assert ceiling_kl([far]) == mean_kl([far]) == pytest.approx(2 * math.log(100), abs=1e-4)
