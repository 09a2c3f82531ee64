"""Check whether a prompt and an answer fit into a model's context."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.files import config_in, number_in
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.files import adapters

# Models that number positions from the pad token's ID plus one, so the lower positions are unusable.
PADDED_POSITIONS = {"roberta", "xlm-roberta", "camembert"}


def refuse_no_room(model: Path | str, *, context: int, answer: int, setting: str) -> None:
    """Raise Refused if an answer of ``answer`` tokens leaves no room for a prompt. One token of room is
    enough, because a longer prompt loses its first tokens. A ``context`` of 0 means that the context length
    is unknown."""
    if context and context - answer < 1:
        raise Refused(
            f"{str(model)!r} reads at most {context} tokens, and an answer can take {answer} of them. That "
            f"leaves no room for a prompt. Lower {setting}, or use a model with a longer context.",
            FailureKind.TEXTS_TOO_LONG,
        )


def context_in(folder: Path) -> int:
    """Return a model's context length in tokens; 0 if its files do not specify it. Raises Refused."""
    config = _config_of(folder)
    length = number_in(config, "max_position_embeddings", "n_positions")
    if length and config.get("model_type") in PADDED_POSITIONS:
        return length - number_in(config, "pad_token_id") - 1
    return length


def rows_in(folder: Path) -> int:
    """Return the size of a model's vocabulary in token IDs; 0 if its files do not specify it. Raises
    Refused."""
    return number_in(_config_of(folder), "vocab_size")


def _config_of(folder: Path) -> dict[str, Any]:
    """Return the settings of the model, or of an adapter's base model. They are empty if there is no
    config.json."""
    where = Path(adapters.base_of(folder)) if adapters.is_adapter(folder) else folder
    return config_in(where) if (where / adapters.CONFIG_FILE).is_file() else {}
