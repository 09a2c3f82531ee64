"""A server can fail, become unavailable, or be incompatible with the policy. The engine waits for an
unavailable server, and every other fault raises a clear error."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.rlhf import tiny
from tests.training.rlhf.generation.openai_server import Json, OpenAIServer, Refuse, serving, wait_until
from tests.training.rlhf.generation.test_server_engine import (
    PROMPTS,
    SHORT,
    asked,
    engine_for,
    own_log_probs,
    with_adapter,
)
from training.rlhf.core.reporter import Cancelled
from training.rlhf.core.waiting import waits_shown_by
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.server import engine as server_engine
from training.rlhf.generation.server import weights
from training.rlhf.generation.server.access import current_access
from training.rlhf.generation.server.comparison import compare
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.models.files.adapters import ADAPTER_WEIGHTS
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.parts.servers import server_address

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def policy() -> Loaded:
    return Loaded(tiny.policy(seed=1), tiny.tokenizer())


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_SECONDS", "TICK_SECONDS"):
        monkeypatch.setattr(server_engine, name, 0.02)
    monkeypatch.setattr(server_engine, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(server_engine, "SHOWN_AFTER_SECONDS", 0.01)


@pytest.fixture
def server(policy: Loaded) -> Iterator[OpenAIServer]:
    with serving(policy) as running:
        yield running


class Page:
    """Records the reasons for waiting that a run's page would show."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.all: list[str] = []

    @contextmanager
    def show(self, reason: str) -> Iterator[None]:
        self.now.append(reason)
        self.all.append(reason)
        yield
        self.now.remove(reason)


def killed_after(server: OpenAIServer, requests: int) -> None:
    """Kill the server during the request that follows this number of requests for completions."""

    def before(path: str) -> None:
        if path == "/v1/completions" and server.counts[path] > requests:
            server.before = lambda path: None
            server.stop()
            server.killed.set()
            raise Refuse(500, "killed")

    server.before = before


def test_run_waits_for_a_killed_server_without_losing_answers(policy: Loaded) -> None:
    local = generate(*policy, PROMPTS, n=3, max_new_tokens=6, seed=[11, 22, 33, 44])
    page, found = Page(), list[list[list[Completion]]]()
    with serving(policy, local_seeds=True) as running, waits_shown_by(page.show):
        engine = engine_for(running, server_connections=1)
        killed_after(running, 3)  # one request for the probe text, and two for answers
        thread = threading.Thread(target=lambda: found.append(asked(engine, policy)))
        thread.start()
        wait_until(lambda: bool(page.now))
        assert page.now == [f"waiting for the server at {running.address}"]
        running.start()
        thread.join(20)
        answered = [one["prompt"] for one in running.requests if isinstance(one["prompt"], list)]
    assert [[one.ids for one in group] for group in found[0]] == [
        [one.ids for one in group] for group in local
    ]
    assert not page.now
    assert [answered.count(prompt) for prompt in PROMPTS] == [1, 1, 1, 1]


def test_two_runs_can_write_the_same_adapter_at_the_same_time(
    policy: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = weights.adapter_of(with_adapter(policy).model)
    assert adapter is not None
    folder = tmp_path / adapter.name

    def save_after_the_other_run(tensors: dict[str, torch.Tensor], file: Path) -> None:
        monkeypatch.undo()
        adapter.write(folder)
        save_file(tensors, file)

    monkeypatch.setattr(weights, "save_file", save_after_the_other_run)
    adapter.write(folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert load_file(folder / ADAPTER_WEIGHTS).keys() == adapter.weights.keys()


def test_restarted_server_gets_the_adapter_again(policy: Loaded, tmp_path: Path) -> None:
    trained, greedy = with_adapter(policy), Sampling(max_new_tokens=6, temperature=0.0)
    local = generate(*trained, PROMPTS, max_new_tokens=6, temperature=0)
    with serving(policy) as running:
        engine = engine_for(running, tmp_path)
        asked(engine, trained, greedy)
        running.stop()
        running.start()
        assert not running.adapters
        found = asked(engine, trained, greedy)
        assert [[one.ids for one in group] for group in found] == [
            [one.ids for one in group] for group in local
        ]
        running.adapters.clear()  # unloaded by another client, while the server runs
        found = asked(engine, trained, greedy)
    assert [[one.ids for one in group] for group in found] == [[one.ids for one in group] for group in local]


def test_run_that_waits_for_a_server_can_be_cancelled(
    policy: Loaded, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(server)
    server.stop()
    checks = iter([None, None])

    def check() -> None:
        if next(checks, "stop") == "stop":
            raise Cancelled("stop")

    monkeypatch.setattr("training.rlhf.generation.pulse.PULSE_SECONDS", 0.0)
    with pytest.raises(Cancelled):
        asked(engine, policy, check=check)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_failed_requests_are_retried(policy: Loaded, server: OpenAIServer, status: int) -> None:
    failed: list[str] = []

    def before(path: str) -> None:
        if path == "/v1/completions" and server.requests and len(failed) < 2:
            failed.append(path)
            raise Refuse(status, "try later")

    server.before = before
    assert [len(group) for group in asked(engine_for(server), policy)] == [3, 3, 3, 3]
    assert len(failed) == 2


def test_request_that_always_fails_ends_the_run(policy: Loaded, server: OpenAIServer) -> None:
    def change(found: Json) -> Json:
        if "logprobs" in found["choices"][0]:  # not the request that reads the probe text
            raise Refuse(500, "CUDA error: device-side assert")
        return found

    server.change = change
    with pytest.raises(
        ServerUnusable, match=r"failed 5 times to process the same request.*device-side assert"
    ):
        asked(engine_for(server), policy)


def changed(**values: Any) -> Callable[[Json], Any]:
    """A function that changes the first choice in each response to the run's requests."""

    def change(found: Json) -> Json:
        if "logprobs" in found["choices"][0]:
            found["choices"][0] |= values
        return found

    return change


def without_token_ids(found: Json) -> Json:
    for choice in found["choices"]:
        choice.pop("token_ids", None)
        choice.get("logprobs", {}).pop("tokens", None)
    return found


def not_json(found: Json) -> Any:
    return b"<html>Welcome</html>" if "logprobs" in found["choices"][0] else found


FAULTS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "other text": (
        changed(text="w1 w2 w3 w4 w5"),
        "its text is .* The server's tokenizer is not the policy's",
    ),
    "unknown ID": (changed(token_ids=[5, 500, 6, 7, 8, 9], logprobs=None), "contains the token ID 500"),
    "no IDs": (without_token_ids, "contains no token IDs. The server must support return_token_ids"),
    "not numbers": (changed(token_ids=["5", "6"]), "not a list of whole numbers"),
    "other prompt": (changed(prompt_token_ids=[2, 3]), "the prompt that the server read differs"),
    "too short": (changed(token_ids=[5, 6], logprobs=None, finish_reason="length"), "--max-model-len"),
    "other end": (changed(token_ids=[5, 6], logprobs=None, finish_reason="stop"), "not a stop token"),
    "other counts": (
        changed(token_ids=[5, 6], logprobs={"token_logprobs": [-1.0] * 3}),
        "2 token IDs, but 3 log-probabilities",
    ),
    "not JSON": (not_json, "is not JSON: '<html>Welcome</html>'"),
    "too few choices": (
        lambda found: found | {"choices": found["choices"][:1]},
        "does not contain 3 choices",
    ),
    "NaN": (changed(logprobs={"token_logprobs": [float("nan")] * 6}), "not finite numbers"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unusable_response_raises_a_clear_error(policy: Loaded, server: OpenAIServer, fault: str) -> None:
    server.change, message = FAULTS[fault]
    with pytest.raises(ServerUnusable, match=message):
        asked(engine_for(server), policy)


def test_token_ids_of_older_servers_are_read_from_the_log_probabilities(policy: Loaded) -> None:
    def older(found: Json) -> Json:
        for choice in found["choices"]:
            choice.pop("token_ids", None)
            choice.pop("prompt_token_ids", None)
        return found

    with serving(policy) as new, serving(policy, change=older) as old:
        assert asked(engine_for(old), policy) == asked(engine_for(new), policy)


def test_error_for_a_wrong_model_name_lists_the_models_of_the_server(
    policy: Loaded, server: OpenAIServer
) -> None:
    with pytest.raises(ServerUnusable, match=r"has no model 'other'\. Its models are: 'tiny'"):
        asked(engine_for(server, server_model="other"), policy)


def test_server_with_a_different_tokenizer_is_refused(policy: Loaded) -> None:
    other = Loaded(tiny.policy(vocab_size=80), tiny.tokenizer())
    other.tokenizer.add_tokens(["differ"])  # the policy's tokenizer doesn't know this word
    with (
        serving(other) as running,
        pytest.raises(ServerUnusable, match="has a different tokenizer from the policy"),
    ):
        asked(engine_for(running), policy)


def test_server_with_different_weights_is_refused(policy: Loaded) -> None:
    other = Loaded(tiny.policy(seed=2), policy.tokenizer)
    with (
        serving(other) as running,
        pytest.raises(ServerUnusable, match="has different weights from the policy"),
    ):
        asked(engine_for(running), policy)


def test_restarted_server_with_different_weights_is_refused(policy: Loaded, server: OpenAIServer) -> None:
    engine = engine_for(server)
    asked(engine, policy)
    server.stop()
    server.loaded = Loaded(tiny.policy(seed=2), policy.tokenizer)
    threading.Timer(0.2, server.start).start()
    with pytest.raises(ServerUnusable, match="has different weights from the policy"):
        asked(engine, policy)


def test_server_key_is_sent_and_never_shown(
    policy: Loaded, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "key-of-the-server-4711"
    monkeypatch.setenv("RANKLOOP_GENERATION_KEY", key)
    assert key not in repr(current_access())
    with serving(policy, key=key) as running:
        asked(engine_for(running, key=current_access().key), policy)
        with pytest.raises(ServerUnusable, match="Set RANKLOOP_GENERATION_KEY") as refused:
            asked(engine_for(running, key=key + "x"), policy)
    monkeypatch.setenv("RANKLOOP_GENERATION_KEY", key + "\nX-Other: 1")
    with pytest.raises(ServerUnusable, match="printable ASCII") as bad:
        current_access()
    assert key not in caplog.text + str(refused.value) + str(bad.value)


@pytest.mark.parametrize("raw", [False, True])
def test_log_probabilities_at_a_different_temperature_are_left_out(policy: Loaded, raw: bool) -> None:
    with serving(policy, raw=raw) as running:
        engine = engine_for(running)
        assert all(one.log_probs for group in asked(engine, policy, SHORT) for one in group)
        found = asked(engine, policy, Sampling(max_new_tokens=6, n=3, temperature=0.7))
        assert all((one.log_probs is None) == raw for group in found for one in group)
        assert all(one.log_probs for group in asked(engine, policy, SHORT) for one in group)


@pytest.mark.parametrize("raw", [False, True])
def test_temperature_of_log_probabilities_is_determined_only_if_noise_is_small(
    policy: Loaded, raw: bool
) -> None:
    """The first two temperatures are close to 1, as can happen in a run with `temperature_end`."""
    with serving(policy, raw=raw, noise=0.02) as running:
        engine = engine_for(running)
        for temperature, is_known in ((0.998, False), (0.995, False), (0.6, True), (0.998, True)):
            found = asked(engine, policy, Sampling(max_new_tokens=6, n=3, temperature=temperature))
            assert all((one.log_probs is None) == (raw and is_known) for group in found for one in group)


@pytest.mark.parametrize("raw", [False, True])
def test_temperature_of_log_probabilities_is_found_correctly_or_not_at_all(policy: Loaded, raw: bool) -> None:
    decided = []
    for seed, temperature in enumerate([0.999, 0.99, 0.97, 0.9, 0.7, 1.01, 1.3]):
        groups = generate(*policy, PROMPTS, max_new_tokens=12, temperature=temperature, seed=seed)
        noise, rows = torch.Generator().manual_seed(seed), []
        for prompt, (one,) in zip(PROMPTS, groups, strict=True):
            values = own_log_probs(policy.model, prompt, one.ids, 1.0 if raw else temperature)
            values = values + 0.02 * torch.randn(len(values), generator=noise)
            rows.append((prompt, one._replace(log_probs=values.tolist())))
        found = compare(policy, rows, Sampling(12, temperature=temperature))
        assert found in (None, not raw)
        decided.append(found is not None)
    assert 0.2 < sum(decided) / len(decided) < 0.8


def test_adapter_needs_a_shared_folder_and_a_server_that_loads_adapters(
    policy: Loaded, tmp_path: Path
) -> None:
    trained = with_adapter(policy)
    with serving(policy) as running, pytest.raises(ServerUnusable, match="Set RANKLOOP_GENERATION_ADAPTERS"):
        asked(engine_for(running), trained)
    lora_off = pytest.raises(ServerUnusable, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True")
    with serving(policy, lora=False) as running, lora_off:
        asked(engine_for(running, tmp_path), trained)


def test_redirect_is_not_followed(policy: Loaded, server: OpenAIServer) -> None:
    def before(path: str) -> None:
        raise Refuse(307, "elsewhere")

    server.before = before
    with pytest.raises(ServerUnusable, match="redirects, and redirects are not followed"):
        asked(engine_for(server), policy)


def test_request_that_is_never_answered_fails_after_the_timeout(
    policy: Loaded, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_engine, "MAX_ATTEMPTS", 2)
    ends = threading.Event()

    def change(found: Json) -> Json:
        if "logprobs" in found["choices"][0]:
            ends.wait(20)
        return found

    server.change = change
    with pytest.raises(ServerUnusable, match=r"failed 2 times .* it did not respond in time"):
        asked(engine_for(server, server_timeout=0.5), policy)
    ends.set()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("http://gpu-1:8000/v1/", "http://gpu-1:8000"),
        (" HTTPS://GPU-1:443 ", "https://gpu-1"),
        ("http://[::1]:8000/models/v1", "http://[::1]:8000/models"),
    ],
)
def test_all_spellings_of_an_address_have_one_normal_form(text: str, normal: str) -> None:
    assert server_address(text) == normal


@pytest.mark.parametrize(
    "text",
    ["gpu-1:8000", "ftp://gpu-1", "http://", "http://user:pass@gpu-1", "http://gpu-1/?a=b", "http://gpu-1\n.x",
     "http://gpu-1:99999", "file:///etc/passwd"],
)  # fmt: skip
def test_invalid_server_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        server_address(text)


def test_failed_request_does_not_change_the_policy(policy: Loaded, server: OpenAIServer) -> None:
    before = copy.deepcopy(policy.model.state_dict())
    server.change = FAULTS["NaN"][0]
    engine = engine_for(server)
    with pytest.raises(ServerUnusable):
        asked(engine, policy)
    server.change = lambda found: found
    assert asked(engine, policy) == asked(engine, policy)
    assert all(torch.equal(one, before[name]) for name, one in policy.model.state_dict().items())
