"""Demo world models that are small enough to be trained in a test."""

import copy
from functools import cache

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from training import demo_world
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.reporter import NullReporter
from training.rlhf.data.demonstrations import encode
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import sft
from training.rlhf.recipes.sft import SFTConfig

SHORT_ANSWERS = ("Yes.", "No.", "Have a lovely day!", "Within two days.", "At ten.", "I am happy to help.")


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    return demo_world.build_tokenizer()


def untrained_policy(seed: int = 0) -> Loaded:
    return Loaded(demo_world.build_policy(tokenizer(), seed, hidden=32, layers=2), tokenizer())


def short_demonstrations(n: int) -> list[Demonstration]:
    """Demonstrations with varied prompts, each answered with one of a few short sentences."""
    prompts = demo_world.prompts(n, seed=5)
    return [Demonstration(prompt, SHORT_ANSWERS[i % 6]) for i, prompt in enumerate(prompts)]


@cache
def _short_speaker() -> Loaded:
    policy = untrained_policy()
    rows = encode(short_demonstrations(192), tokenizer(), 512).rows
    config = SFTConfig(learning_rate=2e-2, epochs=4, batch_size=16, heldout_share=0)
    optimiser = sft.new_optimizer(policy.model, config)
    sft.fit(config, *policy, rows, NullReporter(), optimiser=optimiser)
    return policy


def short_speaker() -> Loaded:
    """A new copy of a policy (80,000 parameters) that generates one of `SHORT_ANSWERS` and stops."""
    return Loaded(copy.deepcopy(_short_speaker().model), tokenizer())


def arbitrary_reward_model() -> Loaded:
    """A reward model with fixed random weights. Its preferences are unrelated to the demo world."""
    vocabulary = tokenizer()
    torch.manual_seed(3)
    config = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        num_labels=1,
        pad_token_id=vocabulary.pad_token_id,
        initializer_range=0.3,
    )
    model: PreTrainedModel = LlamaForSequenceClassification(config)  # type: ignore[no-untyped-call]
    model.train(False)
    return Loaded(model, vocabulary)
