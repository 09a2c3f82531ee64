"""Answers that share their prompt in one row have the same log-probabilities, values and gradients as answers
in separate rows."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Gemma2Config, Gemma2ForCausalLM, MistralConfig, MistralForCausalLM

from tests.training.rlhf import tiny
from training.rlhf.data.answers import Row, lay_out_rows, shared_layout, split_rows
from training.rlhf.data.batching import LAYOUTS, Layout
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.logprobs import log_probs_and_entropies
from training.rlhf.rollouts.critic import Critic

draw = random.Random(0)


def words(low: int, high: int) -> list[int]:
    return [draw.randrange(4, 64) for _ in range(draw.randint(low, high))]


# Five prompts with one to four answers of different lengths.
ROWS = [
    Row(prompt, words(1, 9))
    for prompt in (words(1, 20) for _ in range(5))
    for _ in range(len(prompt) % 4 + 1)
]
CPU = torch.device("cpu")


def learn(model: Any, critic: Critic, layout: Layout, max_tokens: int) -> dict[str, Tensor]:
    """Return the log-probabilities, entropies and values of all answers, and the gradients of a loss that
    uses all three."""
    segments.attend_by_segment(model)
    segments.attend_by_segment(critic.trunk)
    found = [torch.zeros(3, len(ROWS), 9)]
    for part in split_rows(
        ROWS, range(len(ROWS)), layout=layout, max_tokens=max_tokens, hidden_size=model.config.hidden_size
    ):
        answers = lay_out_rows([ROWS[i] for i in part.numbers], layout=part.layout, pad_id=0, device=CPU)
        figures = [*log_probs_and_entropies(model, answers.inputs, temperature=0.7), critic(answers.inputs)]
        loss = sum(
            weight * (figure.sin()).sum() for weight, figure in zip((1.0, 0.5, 2.0), figures, strict=True)
        )
        torch.autograd.backward(loss)
        for number, figure in enumerate(figures):
            padded = answers.per_answer(figure.detach())
            found[0][number, part.numbers, : padded.shape[1]] = padded
    gradients = {
        f"{kind}.{name}": weight.grad
        for kind, module in (("policy", model), ("critic", critic))
        for name, weight in module.named_parameters()
        if weight.grad is not None
    }
    return {"figures": found[0], **gradients}


@pytest.mark.parametrize("kind", tiny.POLICIES)
def test_sharing_prompts_changes_neither_outputs_nor_gradients(kind: str) -> None:
    def run(layout: Layout, max_tokens: int) -> dict[str, Tensor]:
        critic = Critic(tiny.POLICIES[kind](seed=1).base_model)
        generator = torch.Generator().manual_seed(2)
        torch.nn.init.normal_(critic.head.weight, std=0.3, generator=generator)
        return learn(tiny.POLICIES[kind](), critic, layout, max_tokens)

    expected = run("separate", 1)  # without any padding
    assert expected["figures"][0].min() < -1
    for layout in LAYOUTS:
        for max_tokens in (40, 10_000):
            found = run(layout, max_tokens)
            assert found.keys() == expected.keys()
            for name, tensor in expected.items():
                scale = float(tensor.abs().max())
                assert scale > 0.01 or ".k_proj" in name or "bias" in name, name
                message = f"{layout}, {max_tokens}: {name}"
                torch.testing.assert_close(
                    found[name] / scale, tensor / scale, rtol=0, atol=1e-5, msg=message
                )


def test_models_process_a_shared_prompt_once() -> None:
    prompt = words(30, 30)
    rows = [Row(prompt, words(3, 3)) for _ in range(4)]
    for layout, places in (("separate", 4 * 33), ("packed", 30 + 12), ("flat", 30 + 12)):
        [part] = split_rows(rows, range(4), layout=layout, max_tokens=200, hidden_size=32)  # type: ignore[arg-type]
        answers = lay_out_rows([rows[i] for i in part.numbers], layout=part.layout, pad_id=0, device=CPU)
        assert answers.inputs.places == places
    # A limit of 39 tokens allows three answers in addition to their prompt.
    parts = split_rows(rows, range(4), layout="flat", max_tokens=39, hidden_size=32)
    assert [len(part.numbers) for part in parts] == [3, 1]


def test_architectures_without_full_attention_use_separate_rows() -> None:
    small = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    windowed = MistralForCausalLM(
        MistralConfig(**small, vocab_size=69, num_key_value_heads=1, sliding_window=8)
    )
    softcapped = Gemma2ForCausalLM(
        Gemma2Config(**small, vocab_size=69, num_key_value_heads=1, head_dim=16, sliding_window=8)
    )
    assert shared_layout(windowed) == shared_layout(softcapped) == "separate"
    assert shared_layout(tiny.policy()) == shared_layout(tiny.gpt2_policy(), tiny.policy()) == "flat"
    # Models that share a layout, such as the policy and the critic, must all support it.
    assert shared_layout(tiny.policy(), windowed) == "separate"
