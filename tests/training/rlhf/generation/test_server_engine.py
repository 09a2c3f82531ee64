"""A server samples its answers with the policy's current weights and from the policy's distribution. With our
sampler, the server gives the same token IDs as a local run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from tests.training.rlhf import tiny
from tests.training.rlhf.generation.openai_server import NAME, OpenAIServer, logits_of, serving
from training.rlhf.core.reporter import Cancelled
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.server import engine as server_engine
from training.rlhf.generation.server.access import Access
from training.rlhf.generation.server.engine import ServerEngine
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.parts.servers import UsesServer

torch.set_num_threads(1)
PROMPTS = [[2, 10, 11, 12], [2, 20], [2, 30, 31], [2, 40, 41, 42, 43]]
SEEDS = [11, 22, 33, 44]
SHORT = Sampling(max_new_tokens=6, n=3, temperature=1.0)


@pytest.fixture(scope="module")
def policy() -> Loaded:
    return Loaded(tiny.policy(seed=1), tiny.tokenizer())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_engine, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(server_engine, "TICK_SECONDS", 0.02)


@pytest.fixture
def server(policy: Loaded) -> Iterator[OpenAIServer]:
    with serving(policy) as running:
        yield running


def engine_for(
    server: OpenAIServer, folder: Path | None = None, key: str = "", **settings: Any
) -> ServerEngine:
    given = {"server": server.address, "server_model": NAME} | settings
    return ServerEngine(UsesServer(**given), Access(key, folder, str(folder)))


def asked(
    engine: ServerEngine, policy: Loaded, sampling: Sampling = SHORT, **more: Any
) -> list[list[Completion]]:
    return engine.generate(policy, PROMPTS, sampling, seeds=SEEDS, **({"check": in_time()} | more))


def in_time(seconds: float = 30) -> Callable[[], None]:
    """Returns a `check` that fails the test if the engine still waits for the server after this time."""
    ends = time.monotonic() + seconds

    def check() -> None:
        assert time.monotonic() < ends, "the engine is still waiting for the server"

    return check


def own_log_probs(model: Any, prompt: list[int], ids: list[int], temperature: float) -> Tensor:
    logits = logits_of(model, [*prompt, *ids])[len(prompt) - 1 : -1] / temperature
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def with_adapter(policy: Loaded, seed: int = 0) -> Loaded:
    """A copy of the policy with a LoRA adapter that changes its answers."""
    torch.manual_seed(seed)
    settings = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted: Any = get_peft_model(copy.deepcopy(policy.model), settings)
    return Loaded(adapted.eval(), policy.tokenizer)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_server_with_our_sampler_returns_the_same_ids_as_a_local_run(
    policy: Loaded, temperature: float
) -> None:
    sampling = Sampling(max_new_tokens=6, n=3, temperature=temperature)
    local = generate(*policy, PROMPTS, n=3, max_new_tokens=6, temperature=temperature, seed=SEEDS)
    with serving(policy, local_seeds=True) as running:
        found = asked(engine_for(running), policy, sampling)
    assert [[one[:2] for one in group] for group in found] == [[one[:2] for one in group] for group in local]
    for prompt, group in zip(PROMPTS, found, strict=True):
        for one in group:
            expected = own_log_probs(policy.model, prompt, one.ids, temperature or 1.0)
            torch.testing.assert_close(torch.tensor(one.log_probs), expected, atol=1e-5, rtol=0)


def test_answers_have_the_distribution_of_the_policy(policy: Loaded, server: OpenAIServer) -> None:
    # Chi-squared test of the first token, at temperature 0.7. The server samples with torch.multinomial.
    sampling = Sampling(max_new_tokens=1, n=96, temperature=0.7)
    chances = torch.softmax(logits_of(policy.model, PROMPTS[0])[-1].double() / 0.7, dim=-1)
    engine, counts = engine_for(server), torch.zeros(len(chances))
    for seed in range(4):
        [group] = engine.generate(policy, [PROMPTS[0]], sampling, seeds=[1000 * seed])
        for one in group:
            counts[one.ids[0]] += 1
    expected = chances * counts.sum()
    common = expected >= 5
    observed = torch.cat([counts[common], counts[~common].sum()[None]])
    expected = torch.cat([expected[common], expected[~common].sum()[None]])
    assert len(expected) > 10
    statistic = float(((observed - expected) ** 2 / expected).sum())
    # For k degrees of freedom, k + 4 √(2k) is exceeded with a probability below 1e-3.
    assert statistic < len(expected) - 1 + 4 * (2 * (len(expected) - 1)) ** 0.5


def test_request_contains_every_setting_that_changes_the_distribution(
    policy: Loaded, server: OpenAIServer
) -> None:
    asked(engine_for(server), policy)
    sent = server.requests[-1]
    neutral = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0}
    assert sent | neutral | {"frequency_penalty": 0.0, "top_p": 1.0, "temperature": 1.0} == sent
    assert sent["prompt"] in PROMPTS
    assert sent["stop_token_ids"] == [policy.tokenizer.eos_token_id]


def test_ids_without_text_are_never_sampled() -> None:
    model = tiny.policy(seed=1, vocab_size=80)  # the tokenizer's largest ID is 68
    with torch.no_grad():
        model.lm_head.weight[69:] *= 4  # makes the IDs without text likely
    wide = Loaded(model, tiny.tokenizer())
    with serving(wide) as running:
        engine = engine_for(running)
        found = [one for group in asked(engine, wide) for one in group]
        assert max(max(one.ids) for one in found) <= 68
    chances = torch.softmax(logits_of(model, PROMPTS[0])[-1], dim=-1)
    assert float(chances[69:].sum()) > 0.3


def test_progress_is_reported_while_the_server_works(
    policy: Loaded, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.rlhf.generation.pulse.PULSE_SECONDS", 0.0)
    seen: list[tuple[int, int]] = []
    asked(engine_for(server, server_connections=1), policy, progress=lambda *now: seen.append(now))
    assert [one for one, _ in seen] == sorted(one for one, _ in seen)
    assert {total for _, total in seen} == {12}
    assert len({one for one, _ in seen}) > 2


def test_number_of_simultaneous_requests_is_limited(policy: Loaded, server: OpenAIServer) -> None:
    running, most = [0], [0]

    def before(path: str) -> None:
        if path == "/v1/completions":
            running[0] += 1
            most[0] = max(most[0], running[0])
            time.sleep(0.02)
            running[0] -= 1

    server.before = before
    asked(engine_for(server, server_connections=2), policy)
    assert most[0] == 2


def test_cancelled_request_ends_within_a_second(
    policy: Loaded, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.rlhf.generation.pulse.PULSE_SECONDS", 0.05)
    server.before = lambda path: time.sleep(30 if path == "/v1/completions" and server.requests else 0)
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.1:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        asked(engine_for(server), policy, check=check)
    assert time.monotonic() - began < 1


def test_server_answers_with_the_current_weights_in_each_step(policy: Loaded, tmp_path: Path) -> None:
    trained = with_adapter(policy)
    greedy = Sampling(max_new_tokens=6, temperature=0.0)
    with serving(policy) as running:
        engine, names = engine_for(running, tmp_path), list[str]()
        for _ in range(3):
            found = asked(engine, trained, greedy)
            local = generate(*trained, PROMPTS, max_new_tokens=6, temperature=0, seed=SEEDS)
            assert [[one.ids for one in group] for group in found] == [
                [one.ids for one in group] for group in local
            ]
            # Only the newest adapter is loaded, and only its folder is left.
            assert [one.name for one in tmp_path.iterdir()] == list(running.adapters)
            names += running.adapters
            with torch.no_grad():
                for parameter in trained.model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(0.3 * torch.randn_like(parameter))
        assert len(set(names)) == 3
        base = generate(*policy, PROMPTS, max_new_tokens=6, temperature=0, seed=SEEDS)
        assert base != local
        asked(engine, trained, greedy)
        before = running.counts["/v1/load_lora_adapter"]
        asked(engine, trained, greedy)  # the weights are the same, so nothing is loaded
        assert running.counts["/v1/load_lora_adapter"] == before
        del engine
        assert not running.adapters
        assert not list(tmp_path.iterdir())


def test_policy_that_was_trained_without_an_adapter_is_refused(policy: Loaded, server: OpenAIServer) -> None:
    moving = Loaded(copy.deepcopy(policy.model), policy.tokenizer)
    engine = engine_for(server)
    asked(engine, moving)
    optimiser = torch.optim.Adam(moving.model.parameters(), lr=1e-3)
    moving.model(input_ids=torch.tensor([[2, 10, 11]])).logits.sum().backward()
    optimiser.step()
    with pytest.raises(ServerUnusable, match="still has the old weights"):
        asked(engine, moving)
