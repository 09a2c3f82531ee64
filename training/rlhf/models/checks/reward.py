"""Check whether PPO or RLOO can use a reward model. `pair` checks PPO's additional requirements for the
tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.files import config_in, optional_json
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.files import adapters
from training.rlhf.models.files.shapes import ENCODERS


def refuse_encoder(*, encoder: bool) -> None:
    if encoder:
        raise Refused(
            "the reward model is an encoder, which reads an answer as a whole. PPO's critic starts as a "
            "copy of the reward model and must predict a value for every token. Train a reward model from "
            "this policy, or use rejection sampling or RLOO",
            FailureKind.WRONG_KIND_OF_MODEL,
        )


def refuse_flat(deviation: float) -> None:
    """Raise Refused if the standard deviation of the reward model's scores is 0 or not a number."""
    if not deviation > 0:
        raise Refused(
            "the reward model assigned the same reward to all its training responses, so there is nothing to "
            "optimise",
            FailureKind.REWARD_IS_FLAT,
        )


def check_trunk(folder: Path) -> None:
    """Raise Refused if the reward model's files show that PPO's critic can't start as a copy of the model."""
    base = Path(adapters.base_of(folder)) if adapters.is_adapter(folder) else folder
    if (base / adapters.CONFIG_FILE).is_file():
        refuse_encoder(encoder=config_in(base).get("model_type") in ENCODERS)


def check_scale(folder: Path) -> None:
    """Raise Refused if the reward model's files show that its rewards are constant."""
    whole = not adapters.is_adapter(folder)
    notes: Any = optional_json(folder, adapters.CONFIG_FILE if whole else adapters.ADAPTER_NOTES).get(
        "rankloop"
    )
    deviation = notes.get("reward_std") if isinstance(notes, dict) else None
    if isinstance(deviation, int | float):
        refuse_flat(deviation)
