"""The purpose for which a run opens a model, and the exception for a model that does not serve it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from training.rlhf.core.failures import FailureKind, UnusableInput


class Purpose(StrEnum):
    POLICY = "policy"  # generates answers
    REWARD_MODEL = "reward model"  # scores answers
    TRUNK = "trunk"  # is trained as a reward model: a causal language model, an encoder or a reward model


class Refused(UnusableInput):
    """Raised if a model can't be used for its purpose. The message names the model, the reason and a fix."""

    kind = FailureKind.MODEL_UNREADABLE


def wrong_kind(model: Path | str, reason: str) -> Refused:
    return Refused(
        f"{str(model)!r} is not the required kind of model: {reason}", FailureKind.WRONG_KIND_OF_MODEL
    )


def unreadable(model: Path | str, reason: str) -> Refused:
    return Refused(f"No loadable model at {str(model)!r}: {reason}", FailureKind.MODEL_UNREADABLE)


def adapter_unusable(adapter: Path | str, reason: str) -> Refused:
    return Refused(
        f"The adapter at {str(adapter)!r} can't be used: {reason}", FailureKind.ADAPTER_DOES_NOT_FIT
    )
