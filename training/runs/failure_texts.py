"""The explanation of each kind of failure: a title, the cause, the fix, and the settings to review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.rlhf.core.failures import FailureKind


@dataclass(frozen=True)
class Cause:
    """`settings` are the recipe settings to review before the next launch; `again`: whether the same run can
    succeed on another attempt."""

    title: str
    cause: str
    fix: str
    settings: tuple[str, ...] = ()
    again: bool = False


MEMORY_SETTINGS = (
    *("micro_batch_size", "micro_batch_tokens", "max_length", "max_new_tokens", "rollout_prompts"),
    *("samples_per_prompt", "base_model"),
)

CAUSES: Mapping[FailureKind, Cause] = {
    FailureKind.OUT_OF_MEMORY: Cause(
        "Out of memory",
        cause="The run needed more memory than was available. Memory grows with the size of the "
        "model, the micro-batch and the length of the texts.",
        fix="Halve the micro-batch first: this does not change what the model learns. If that is not enough, "
        "shorten the texts or choose a smaller model. The estimate on the launch form shows how much each "
        "change saves.",
        settings=MEMORY_SETTINGS,
    ),
    FailureKind.DISK_FULL: Cause(
        "The disk is full",
        cause="There was no space left to write the model or its log.",
        fix="Free some space on the disk that holds the state folder (for example, delete old runs and "
        "archived models), then run it again.",
        again=True,
    ),
    FailureKind.DIVERGED: Cause(
        "Training diverged",
        cause="The loss or a gradient became NaN or infinite. In most cases the learning rate is too high "
        "for this model; in rare cases the data has a broken row. No model was saved.",
        fix="Divide the learning rate by three to ten, or leave it empty so that it follows the size of the "
        "model.",
        settings=("learning_rate", "value_learning_rate", "max_grad_norm", "clip"),
    ),
    FailureKind.MODEL_GONE: Cause(
        "A model of this run is missing",
        cause="The folder of a model that this run needs no longer holds its weights.",
        fix="Restore the folder from a backup, or choose another model.",
    ),
    FailureKind.ADAPTER_BASE_GONE: Cause(
        "The base model of an adapter is missing",
        cause="A LoRA adapter holds only the difference from its base model, and the base model is no longer "
        "where the adapter expects it.",
        fix="Restore the folder of the base model from a backup (a folder next to the adapter also works), "
        "or choose another model.",
    ),
    FailureKind.BASE_MODEL_MISSING: Cause(
        "There is no model at that path",
        cause="The base model is given as a path, and the training worker's machine has no model there.",
        fix="Correct the path (it is a path on the worker's machine, not on yours), or choose a model of the "
        "project.",
        settings=("base_model",),
    ),
    FailureKind.HUB_UNREACHABLE: Cause(
        "The model hub can't be reached",
        cause="The base model is a name on the Hugging Face hub. The training worker can't reach the hub, "
        "and the model is not in its cache.",
        fix="Connect the worker to the hub (it respects HTTPS_PROXY), or download the model elsewhere, copy "
        "its folder to the worker's machine and give the path.",
        settings=("base_model",),
        again=True,
    ),
    FailureKind.HUB_UNKNOWN_NAME: Cause(
        "The hub has no such model",
        cause="The Hugging Face hub answered but did not provide this model: the name is wrong, or the model "
        "is gated and the worker has no token for it.",
        fix="Copy the name from the model's page (owner/name). For a gated model, accept its terms and set "
        "HF_TOKEN for the worker.",
        settings=("base_model",),
    ),
    FailureKind.WRONG_KIND_OF_MODEL: Cause(
        "This is the wrong kind of model",
        cause="The folder holds a model, but not of the kind that this run needs.",
        fix="Choose a causal language model as the policy, and a model produced by a reward_model run as the "
        "reward model.",
        settings=("base_model",),
    ),
    FailureKind.MODEL_UNREADABLE: Cause(
        "The model can't be read",
        cause="The files of the model are incomplete, damaged or in a format that is not accepted. Only "
        "safetensors files are read, and code that comes with a model is never run.",
        fix="Download the model again, or save it as safetensors with `save_pretrained`.",
        settings=("base_model",),
    ),
    FailureKind.TEXTS_TOO_LONG: Cause(
        "The texts are too long",
        cause="Prompt and response together are longer than the context of the model or the limit of the "
        "recipe, so no data was left to learn from.",
        fix="Raise max_length, lower max_new_tokens, or choose a model with a longer context.",
        settings=("max_length", "max_new_tokens"),
    ),
    FailureKind.NOTHING_KEPT: Cause(
        "No answer was good enough to keep",
        cause="Every sampled answer was cut off at its limit, or none exceeded the mean of its prompt by "
        "min_gain.",
        fix="Raise max_new_tokens so that answers can end, lower min_gain, or sample at a higher "
        "temperature.",
        settings=("max_new_tokens", "min_gain", "temperature", "samples_per_prompt"),
    ),
    FailureKind.GOLD_CANNOT_JUDGE: Cause(
        "The gold judge can't score these prompts",
        cause="The gold judge knows the correct answers of the demo world only. It can't score imported "
        "prompts.",
        fix="Set the judge to reward_model.",
        settings=("judge",),
    ),
    FailureKind.DATA_EMPTY: Cause(
        "There is not enough data",
        cause="No data was left after filtering. Ignored ties, held-out rankings and texts that are too long "
        "are not used.",
        fix="Rank or import more responses, or choose a larger snapshot. If most rankings are ties, let the "
        "reward model learn from ties.",
        settings=("ties", "heldout_fraction", "heldout_share", "max_length"),
    ),
    FailureKind.DATA_UNREADABLE: Cause(
        "The snapshot can't be read",
        cause="The file of the snapshot is missing or damaged.",
        fix="Restore the artefacts folder, or freeze a new snapshot and choose that one.",
    ),
    FailureKind.VOCABULARIES_DIFFER: Cause(
        "The policy and the reward model don't match",
        cause="They were made from base models with different vocabularies.",
        fix="Train a reward model from this policy, or choose the policy that the reward model was trained "
        "from.",
    ),
    FailureKind.REWARD_IS_FLAT: Cause(
        "The reward model gives every answer the same reward",
        cause="It gave the same reward to all of its training responses, so the policy has nothing to "
        "improve towards.",
        fix="Train the reward model again on more rankings, and check its held-out accuracy before you use "
        "it.",
    ),
    FailureKind.INPUTS_REFUSED: Cause(
        "The recipe or the inputs can't be used",
        cause="The training code rejected the settings or the data of this run. The details give the reason.",
        fix="Correct the recipe or the inputs, then launch it again.",
    ),
    FailureKind.WORKER_LOST: Cause(
        "The worker was lost",
        cause="The training worker, or its whole machine, stopped several times without reporting: a "
        "restart, a power failure, or a machine that ran out of memory.",
        fix="Check the logs of the workers and the memory of the machine, then resume the run.",
        again=True,
    ),
    FailureKind.KILLED: Cause(
        "The training process was killed",
        cause="Something outside Rankloop ended the process with a signal. SIGKILL usually means a memory "
        "limit (of a container or of the machine); SIGSEGV means a fault in a driver or a library.",
        fix="Look for memory limits and read the end of the log. If nothing explains it, resume the run.",
        settings=MEMORY_SETTINGS,
        again=True,
    ),
    FailureKind.NOT_STARTED: Cause(
        "The training process could not be started",
        cause="The worker could not create a new process: the installation is incomplete, or the machine has "
        "no memory left.",
        fix="Fix the problem that the log of the training worker names, then resume the run.",
        again=True,
    ),
    FailureKind.CRASHED: Cause(
        "The training process crashed",
        cause="The process ended before it could report a reason.",
        fix="Read the end of the log.",
    ),
    FailureKind.CANCELLED: Cause(
        "This run was cancelled",
        cause="Someone asked this run to stop. It saved no model; its reports up to that point are below.",
        fix="Run it again from the start, or launch it with changes.",
        again=True,
    ),
    FailureKind.UNKNOWN: Cause(
        "The run was stopped by an unexpected error",
        cause="Rankloop has no explanation for this error. The details and the end of the log are below.",
        fix="Read the end of the log to see where it happened.",
    ),
}
