"""A tokenizer and a small policy for the demo world, built locally: nothing is downloaded."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from training.demo_world import gold, slots
from training.demo_world.follow_ups import FOLLOW_UPS
from training.demo_world.intents import INTENTS
from training.demo_world.scenario import NAMED_OPENINGS, PLAIN_OPENINGS

# Imported only for type annotations, because transformers takes seconds to import and is not needed to score
# an answer.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY_SIZE = 4096  # an upper bound: training ends once each demo-world word is a single token
CONTEXT_TOKENS = 512
# How often each word of a slot value occurs in the tokenizer's corpus. With this number of occurrences, each
# word becomes a single token.
VALUE_REPEATS = 8
# Standard deviation of the initial weights, about 1/sqrt(192). With this value, attention is selective when
# training starts. With transformers' default of 0.02, attention is uniform at first, and the model takes
# longer to learn to copy. In our measurements, the gold reward after 490 steps was 0.67 points with 0.02, and
# 0.93 points with 0.07.
INITIAL_STD = 0.07


def build_tokenizer() -> "PreTrainedTokenizerFast":
    """Build a byte-level BPE tokenizer from the words of the demo world. The tokenizer can also encode any
    other text, byte by byte if needed.

    Every word and number of the demo world is a single token, so a policy copies a value in one or two
    tokens. The result is deterministic: the corpus is the list of templates and values, without random
    choices.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=1,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(), trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=list(ROLES),
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_policy(
    tokenizer: "PreTrainedTokenizerFast", seed: int, *, hidden: int = 192, layers: int = 2
) -> "PreTrainedModel":
    """Build a Llama model with random weights determined by the seed (1.3 million parameters at the default
    size).

    Input and output embeddings share one matrix, so the model can copy a value by passing the value's
    embedding to the output.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3 // 32 * 32,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        initializer_range=INITIAL_STD,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        policy: PreTrainedModel = LlamaForCausalLM(config)
        policy.train(False)
        return policy


def _corpus() -> Iterator[str]:
    """Yield every template with its slots filled, then every word of the slot values several times."""
    filler = {kind: values[0] for kind, values in slots.VALUES.items()}
    yield from (opening.format(**filler) for opening in (*NAMED_OPENINGS, *PLAIN_OPENINGS))
    for template in gold.all_templates():  # once at the start of an answer, once after a space
        yield from (template.format(**filler), " " + template.format(**filler))
    for intent in (*INTENTS, *FOLLOW_UPS):
        yield from (question.format(**filler) for question in intent.questions)
    for values in slots.VALUES.values():
        for word in dict.fromkeys(word for value in values for word in value.split()):
            yield from [f" {word}"] * VALUE_REPEATS
