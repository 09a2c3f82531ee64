"""One-layer models and a character tokenizer, with which a real TRL trainer can take a training step."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def loaded(path: Path, cache: Path, *, loader: str) -> Any:
    """The downloaded file, loaded by the real `datasets` library."""
    import datasets

    return datasets.load_dataset(loader, data_files=str(path), split="train", cache_dir=str(cache))


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel(_vocabulary(), unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>"
    )
    made.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return made


def reward_model() -> Any:
    from transformers import LlamaForSequenceClassification

    return LlamaForSequenceClassification(_config(num_labels=1))


def policy() -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM(_config())


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """Settings for any trainer's config: one step on the CPU, without output."""
    return {
        "output_dir": str(folder),
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.1,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **changes,
    }


def _vocabulary() -> dict[str, int]:
    characters = sorted({chr(code) for code in range(32, 127)} | {"\n"})
    return {token: index for index, token in enumerate(["<pad>", "<unk>", "<eos>", *characters])}


def _config(**changes: Any) -> Any:
    import torch
    from transformers import LlamaConfig

    torch.manual_seed(0)
    return LlamaConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        eos_token_id=2,
        **changes,
    )
