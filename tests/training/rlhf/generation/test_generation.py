"""Decoding gives the same answers as `model.generate`, regardless of batch size, padding and sample count."""

import math
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM, PreTrainedModel

from tests.training.rlhf.small_world import short_speaker, tokenizer, untrained_policy
from training import demo_world
from training.rlhf.core.seeds import seeds_from
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion
from training.rlhf.generation.picking import pick_tokens
from training.rlhf.models.tokens import chat

PROMPTS = [chat.encode_prompt(tokenizer(), messages) for messages in demo_world.prompts(6, seed=9)]


def models() -> dict[str, PreTrainedModel]:
    words = tokenizer()
    torch.manual_seed(0)
    shared: dict[str, Any] = {
        "vocab_size": len(words),
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    return {
        "llama": untrained_policy().model,
        "sliding window": MistralForCausalLM(
            MistralConfig(
                hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                num_key_value_heads=1, sliding_window=8, max_position_embeddings=256, **shared,
            )
        ),
        "gpt2": GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=256, **shared)),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["llama", "sliding window", "gpt2"])
def test_greedy_decoding_matches_transformers(name: str) -> None:
    model = models()[name].train(False)
    ours = generate(model, tokenizer(), PROMPTS, max_new_tokens=24, temperature=0)
    for prompt, [completion] in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        assert completion.ids == theirs[0, len(prompt) :].tolist()


def test_answers_are_independent_of_other_rows_and_padding() -> None:
    model, words = short_speaker()
    alone = [generate(model, words, [prompt], max_new_tokens=16, temperature=0)[0] for prompt in PROMPTS]
    assert generate(model, words, PROMPTS, max_new_tokens=16, temperature=0) == alone


def test_samples_are_independent_of_the_batch_size() -> None:
    model, words = short_speaker()
    wide = generate(model, words, PROMPTS, n=4, max_new_tokens=16, seed=1)
    assert generate(model, words, PROMPTS, n=4, max_new_tokens=16, seed=1, rows_per_batch=1) == wide
    assert generate(model, words, PROMPTS, n=4, max_new_tokens=16, seed=2) != wide


def test_repeated_calls_give_new_samples_and_equal_seeds_give_equal_samples() -> None:
    model, words = short_speaker()
    generator = torch.Generator().manual_seed(1)
    first, second = (
        generate(
            model,
            words,
            PROMPTS,
            max_new_tokens=16,
            temperature=2.0,
            seed=seeds_from(generator, len(PROMPTS)),
        )
        for _ in "ab"
    )
    assert first != second
    seeded = [generate(model, words, PROMPTS, max_new_tokens=16, seed=1, temperature=2.0) for _ in "ab"]
    assert seeded[0] == seeded[1]


def test_n_samples_per_prompt_are_returned_in_prompt_order() -> None:
    model, words = short_speaker()
    answers = generate(model, words, PROMPTS, n=5, max_new_tokens=16, temperature=1.5)
    assert [len(samples) for samples in answers] == [5] * len(PROMPTS)
    assert any(len({tuple(sample.ids) for sample in samples}) > 1 for samples in answers)


def test_finished_answers_end_with_exactly_one_eos() -> None:
    model, words = short_speaker()
    eos = words.eos_token_id
    answers = [c for row in generate(model, words, PROMPTS, n=8, max_new_tokens=6) for c in row]
    assert {completion.finished for completion in answers} == {True, False}
    for ids, finished, _ in answers:
        assert finished == (ids[-1] == eos)
        assert eos not in ids[:-1]
        assert len(ids) <= 6
        assert finished or len(ids) == 6


def test_stop_token_ids_in_the_generation_config_end_an_answer() -> None:
    model, words = short_speaker()
    [[first]] = generate(model, words, PROMPTS[:1], max_new_tokens=8, temperature=0)
    model.generation_config.eos_token_id = [words.eos_token_id, first.ids[1]]
    [[stopped]] = generate(model, words, PROMPTS[:1], max_new_tokens=8, temperature=0)
    assert stopped == Completion(first.ids[:2], True)


def test_prompts_that_exceed_the_context_lose_their_first_tokens() -> None:
    model, words = untrained_policy()
    long = list(range(300, 900)) + PROMPTS[0]
    kept = long[-(512 - 8) :]
    assert generate(model, words, [long], max_new_tokens=8, temperature=0) == generate(
        model, words, [kept], max_new_tokens=8, temperature=0
    )


def test_token_frequencies_match_their_probabilities() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).log_softmax(0)
    draws = 40_000
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(0))
    for temperature in (0.5, 1.0, 2.0):
        picked = pick_tokens(logits.expand(draws, -1), uniform, temperature=temperature, top_p=1.0)
        expected = torch.softmax(logits / temperature, 0)
        share = torch.bincount(picked, minlength=4) / draws
        error = (expected * (1 - expected) / draws).sqrt()
        assert ((share - expected).abs() < 5 * error).all()


def test_top_p_keeps_the_smallest_set_of_tokens_that_reaches_the_probability() -> None:
    probabilities = torch.tensor([0.1, 0.5, 0.15, 0.25])
    uniform = torch.linspace(0, 1 - 1e-6, 2001)
    picked = pick_tokens(probabilities.log().expand(2001, -1), uniform, temperature=1.0, top_p=0.7)
    assert set(picked.tolist()) == {1, 3}
    assert picked.eq(1).float().mean().item() == pytest.approx(0.5 / 0.75, abs=2e-3)
    only = pick_tokens(probabilities.log().expand(2001, -1), uniform, temperature=1.0, top_p=0.01)
    assert set(only.tolist()) == {1}


def test_tokens_with_zero_probability_are_never_sampled() -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]]).expand(3, -1)
    picked = pick_tokens(logits, torch.tensor([0.0, 0.5, 1 - 2**-24]), temperature=1.0, top_p=1.0)
    assert picked.tolist() == [1, 3, 3]


def test_generate_restores_the_training_mode_of_the_policy() -> None:
    model, words = untrained_policy()
    model.train()
    generate(model, words, PROMPTS[:1], max_new_tokens=2)
    assert model.training


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"n": 0}, "at least 1"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        generate(*untrained_policy(), PROMPTS[:1], **({"max_new_tokens": 4} | settings))
    with pytest.raises(ValueError, match="has no tokens"):
        generate(*untrained_policy(), [[]], max_new_tokens=4)


def test_finished_rows_are_removed_from_the_batch() -> None:
    rows: list[int] = []
    model, words = short_speaker()
    model.lm_head.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    generate(model, words, PROMPTS, n=8, max_new_tokens=32)
    read, *steps = rows
    assert read == len(PROMPTS)
    assert max(steps) == 8 * len(PROMPTS)
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < max(steps) / 2
