"""Models are saved atomically and load with plain transformers. The error for a missing model names that
model."""

import socket
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import torch
from huggingface_hub import get_session
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.training.rlhf.small_world import arbitrary_reward_model, tokenizer, untrained_policy
from training.rlhf.models.loading import hub, opening, refusals, saving

IDS = torch.tensor([[5, 300, 301, 302, 1]])


def test_saved_policy_computes_identical_logits_in_plain_transformers(tmp_path: Path) -> None:
    model, words = untrained_policy()
    path = saving.save_model(model, words, tmp_path / "policy")
    plain = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        expected = model(input_ids=IDS).logits
        assert torch.equal(plain(input_ids=IDS).logits, expected)
        assert torch.equal(opening.load_policy(path).model.cpu()(input_ids=IDS).logits, expected)
    assert AutoTokenizer.from_pretrained(path).chat_template == words.chat_template
    assert not list(path.glob("*.bin"))
    assert list(path.glob("*.safetensors"))


def test_saved_reward_model_computes_identical_scores_in_plain_transformers(tmp_path: Path) -> None:
    model, words = arbitrary_reward_model()
    path = saving.save_model(model, words, tmp_path / "reward")
    plain = AutoModelForSequenceClassification.from_pretrained(path)
    with torch.no_grad():
        expected = model(input_ids=IDS).logits
        assert torch.equal(plain(input_ids=IDS).logits, expected)
        assert torch.equal(opening.load_reward_model(path).model.cpu()(input_ids=IDS).logits, expected)


def test_policy_loads_as_a_reward_model_only_if_a_new_head_is_requested(tmp_path: Path) -> None:
    path = saving.save_model(*untrained_policy(), tmp_path / "policy")
    with pytest.raises(refusals.ModelNotFound, match=r"no reward head \(score\.weight"):
        opening.load_reward_model(path)
    assert opening.open_classifier(path).new == ["score.weight"]


def test_error_for_a_missing_path_states_the_problem(tmp_path: Path) -> None:
    with pytest.raises(refusals.ModelNotFound, match=r"is not a folder on this machine\. Use a folder"):
        opening.load_policy(tmp_path / "nowhere")
    with pytest.raises(refusals.ModelNotFound, match=r"has no config\.json"):
        opening.load_policy(tmp_path)


def test_requests_to_an_unresponsive_hub_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "REQUEST_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:  # accepts connections and never answers
        hub.limit_requests()
        hub.limit_requests()
        with pytest.raises(httpx2.ReadTimeout):
            # The Hub client passes no timeout when it lists the files of a model.
            get_session().get(f"http://127.0.0.1:{hung.getsockname()[1]}/", timeout=None)
    assert get_session().event_hooks["request"].count(hub._limit) == 1


def test_error_for_an_unresponsive_hub_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: object, **__: object) -> None:
        raise httpx2.ReadTimeout("The read operation timed out")

    monkeypatch.setattr(hub, "answers", lambda: True)
    monkeypatch.setattr(opening, "cached_file", lambda *_, **__: None)  # the model is not an adapter
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", hangs)
    with pytest.raises(refusals.ModelNotFound, match=r"No model 'nobody/nothing'.*hub did not return it"):
        opening.load_policy("nobody/nothing")


def test_error_for_an_unreachable_hub_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "answers", lambda: False)
    with pytest.raises(refusals.ModelNotFound, match=r"No model 'nobody/nothing'.*hub did not return it"):
        opening.load_policy("nobody/nothing")


def test_pickled_weights_are_rejected(tmp_path: Path) -> None:
    model, words = untrained_policy()
    path = saving.save_model(model, words, tmp_path / "policy")
    torch.save(model.state_dict(), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    with pytest.raises(refusals.ModelNotFound, match="safetensors"):
        opening.load_policy(path)


def test_crash_while_saving_keeps_the_old_model_and_leaves_no_partial_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = untrained_policy(seed=1)
    path = saving.save_model(*old, tmp_path / "policy")
    new = untrained_policy(seed=2)

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(type(new.tokenizer), "save_pretrained", full_disk)
    for target in (path, tmp_path / "other"):
        with pytest.raises(OSError, match="The disk is full"):
            saving.save_model(*new, target)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]
    with torch.no_grad():
        kept = opening.load_policy(path).model.cpu()(input_ids=IDS).logits
        assert torch.equal(kept, old.model(input_ids=IDS).logits)


def test_saving_replaces_the_model_and_removes_partial_files(tmp_path: Path) -> None:
    saving.save_model(*untrained_policy(seed=1), tmp_path / "policy")
    (tmp_path / ".policy.partial-dead").mkdir()
    new = untrained_policy(seed=2)
    path = saving.save_model(*new, tmp_path / "policy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]
    with torch.no_grad():
        saved = opening.load_policy(path).model.cpu()(input_ids=IDS).logits
        assert torch.equal(saved, new.model(input_ids=IDS).logits)


def test_saving_merges_adapters_into_a_copy_of_the_model(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = untrained_policy().model
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    with torch.no_grad():
        expected = adapted(input_ids=IDS).logits
        path = saving.save_model(cast(Any, adapted), tokenizer(), tmp_path / "policy")
        plain = AutoModelForCausalLM.from_pretrained(path)
        torch.testing.assert_close(plain(input_ids=IDS).logits, expected)
        assert torch.equal(adapted(input_ids=IDS).logits, expected)
