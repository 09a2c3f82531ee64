"""The kinds of run failure. Each of the library's exceptions carries its failure kind."""

from __future__ import annotations

from enum import StrEnum


class FailureKind(StrEnum):
    """The reason why a run ended without a result. The values are stable: the API sends them and the database
    stores them."""

    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    DIVERGED = "diverged"
    MODEL_GONE = "model_gone"
    ADAPTER_BASE_GONE = "adapter_base_gone"
    BASE_MODEL_MISSING = "base_model_missing"
    HUB_UNREACHABLE = "hub_unreachable"
    HUB_UNKNOWN_NAME = "hub_unknown_name"
    WRONG_KIND_OF_MODEL = "wrong_kind_of_model"
    MODEL_UNREADABLE = "model_unreadable"
    ADAPTER_DOES_NOT_FIT = "adapter_does_not_fit"
    TOKENIZER_DOES_NOT_FIT = "tokenizer_does_not_fit"
    TEXTS_TOO_LONG = "texts_too_long"
    NOTHING_KEPT = "nothing_kept"
    GOLD_CANNOT_JUDGE = "gold_cannot_judge"
    DATA_EMPTY = "data_empty"
    DATA_UNREADABLE = "data_unreadable"
    INPUT_CHANGED = "input_changed"
    VOCABULARIES_DIFFER = "vocabularies_differ"
    TEMPLATES_DIFFER = "templates_differ"
    GENERATION_SERVER = "generation_server"
    REWARD_IS_FLAT = "reward_is_flat"
    REWARD_NOT_FINITE = "reward_not_finite"
    INPUTS_REFUSED = "inputs_refused"
    WORKER_LOST = "worker_lost"
    KILLED = "killed"
    NOT_STARTED = "not_started"
    CRASHED = "crashed"
    HUNG = "hung"
    TIME_LIMIT = "time_limit"
    DATABASE_LOST = "database_lost"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class RunFailure(Exception):
    """An error that carries its failure kind."""

    kind = FailureKind.UNKNOWN

    def __init__(self, message: str, kind: FailureKind | None = None) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind


class UnusableInput(RunFailure, ValueError):
    """Raised if the data, the models or the settings cannot be used for this run."""

    kind = FailureKind.INPUTS_REFUSED
