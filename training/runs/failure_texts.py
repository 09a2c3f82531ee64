"""The explanation of each kind of failure: a title, the cause, the fix, and the settings to review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.rlhf.core.failures import FailureKind


@dataclass(frozen=True)
class Cause:
    """The explanation of one kind of failure. `settings` lists the recipe settings to review before the next
    launch. `again` states whether the same run can succeed on another attempt."""

    title: str
    cause: str
    fix: str
    settings: tuple[str, ...] = ()
    again: bool = False


MEMORY_SETTINGS = (
    *("micro_batch_tokens", "max_length", "max_new_tokens", "rollout_prompts"),
    *("samples_per_prompt", "base_model"),
)

CAUSES: Mapping[FailureKind, Cause] = {
    FailureKind.OUT_OF_MEMORY: Cause(
        "Out of memory",
        cause="The run needed more memory than was available. Memory use grows with the size "
        "of the model, the micro-batch and the length of the texts.",
        fix="Halve the micro-batch first: this does not change what the model learns. If that is not enough, "
        "shorten the texts or choose a smaller model. The estimate on the launch form shows how much "
        "memory each change saves.",
        settings=MEMORY_SETTINGS,
    ),
    FailureKind.DISK_FULL: Cause(
        "The disk is full",
        cause="There was no space left to write a file. The details show the folder and the free space.",
        fix="Free some space on the disk that holds this folder, then resume the run. For example, delete "
        "archived models. A run with checkpoints continues from the last one.",
        again=True,
    ),
    FailureKind.DIVERGED: Cause(
        "Training diverged",
        cause="The loss or a gradient became NaN or infinite. In most cases, the learning rate is too high "
        "for this model. In rare cases, the data contains a broken row. No model was saved.",
        fix="Divide learning_rate by 3 to 10, or leave the setting empty. The rate then depends on the "
        "model's size.",
        settings=("learning_rate", "value_learning_rate", "max_grad_norm", "clip"),
    ),
    FailureKind.MODEL_GONE: Cause(
        "A model used by this run is missing",
        cause="The weights of a model that this run uses are no longer in the model's folder.",
        fix="Restore the folder from a backup, or choose another model.",
    ),
    FailureKind.ADAPTER_BASE_GONE: Cause(
        "The base model of an adapter is missing",
        cause="A LoRA adapter contains only the difference from its base model. The base model is no longer "
        "in the location that the adapter expects.",
        fix="Restore the base model's folder from a backup. Put the folder in its original location or next "
        "to the adapter. Alternatively, choose another model.",
    ),
    FailureKind.BASE_MODEL_MISSING: Cause(
        "There is no model at this path",
        cause="The base model is given as a path, and the training worker's machine has no model there.",
        fix="Correct the path, or choose one of the project's models. The path must exist on the worker's "
        "machine, not on your computer.",
        settings=("base_model",),
    ),
    FailureKind.HUB_UNREACHABLE: Cause(
        "The model hub can't be reached",
        cause="The base model is given as a name on the Hugging Face hub. The training worker can't reach "
        "the hub, and the model is not in the worker's cache.",
        fix="Connect the worker to the hub. If a proxy is needed, set HTTPS_PROXY for the worker. "
        "Alternatively, download the model on another machine, copy its folder to the worker's machine, and "
        "enter the path of the copy.",
        settings=("base_model",),
        again=True,
    ),
    FailureKind.HUB_UNKNOWN_NAME: Cause(
        "The hub has no such model",
        cause="The Hugging Face hub responded but did not provide this model. Either the name is wrong, or "
        "the model is gated and the worker has no token for the model.",
        fix="Copy the name from the model's page (owner/name). For a gated model, accept its terms and set "
        "HF_TOKEN for the worker.",
        settings=("base_model",),
    ),
    FailureKind.WRONG_KIND_OF_MODEL: Cause(
        "This is the wrong kind of model",
        cause="The folder contains a model, but not of the kind that this run needs.",
        fix="As the policy, choose a causal language model. As the reward model, choose a model that was "
        "produced by a reward_model run.",
        settings=("base_model",),
    ),
    FailureKind.MODEL_UNREADABLE: Cause(
        "The model can't be read",
        cause="The model's files are incomplete, damaged or in a format that is not accepted. Only "
        "safetensors files are read, and code that comes with a model is never run.",
        fix="Download the model again, or save it as safetensors with `save_pretrained`.",
        settings=("base_model",),
    ),
    FailureKind.ADAPTER_DOES_NOT_FIT: Cause(
        "The adapter can't be used",
        cause="The LoRA adapter lacks some of its weights, or it was trained on a base model of another "
        "shape.",
        fix="If weights are missing or have the wrong shape, the details list them. Save the adapter again "
        "together with its head (modules_to_save), or correct base_model_name_or_path in "
        "adapter_config.json.",
        settings=("base_model",),
    ),
    FailureKind.TOKENIZER_DOES_NOT_FIT: Cause(
        "The tokenizer doesn't fit the model",
        cause="The tokenizer has tokens that the model has no embedding for. This happens if tokens were "
        "added to the tokenizer, but the model's embeddings were not resized.",
        fix="Call model.resize_token_embeddings(…) with the number in the details, or save the model's "
        "original tokenizer with the model. If the added token is a pad token, you can instead use a token "
        "that the vocabulary already contains as the pad token.",
        settings=("base_model",),
    ),
    FailureKind.TEXTS_TOO_LONG: Cause(
        "The texts are too long",
        cause="In every text, the prompt and the response together exceed the model's context length or the "
        "recipe's length limit, so no usable text is left.",
        fix="Raise max_length, lower max_new_tokens, or choose a model with a longer context.",
        settings=("max_length", "max_new_tokens"),
    ),
    FailureKind.NOTHING_KEPT: Cause(
        "No answer was good enough to keep",
        cause="Every sampled answer was truncated at the length limit, has the same reward as all other "
        "answers to its prompt, or misses min_gain or threshold.",
        fix="Raise max_new_tokens so that answers can end, lower min_gain or threshold, or sample at a "
        "higher temperature.",
        settings=("max_new_tokens", "min_gain", "threshold", "temperature", "samples_per_prompt"),
    ),
    FailureKind.GOLD_CANNOT_JUDGE: Cause(
        "The gold judge can't score these prompts",
        cause="The gold judge knows correct answers only for demo-world prompts, so it can't score answers "
        "to imported prompts.",
        fix="Set the judge to reward_model.",
        settings=("judge",),
    ),
    FailureKind.DATA_EMPTY: Cause(
        "There is not enough data",
        cause="No data was left after filtering. Held-out rankings, ties that the recipe ignores, and texts "
        "that are too long are not used.",
        fix="Rank more responses, import more rankings, or choose a larger snapshot. If most rankings are "
        "ties, let the run learn from ties.",
        settings=("ties", "heldout_fraction", "heldout_share", "max_length"),
    ),
    FailureKind.DATA_UNREADABLE: Cause(
        "The snapshot can't be read",
        cause="The snapshot's file is missing or damaged.",
        fix="Restore the artefacts folder, or freeze a new snapshot and choose the new one.",
    ),
    FailureKind.INPUT_CHANGED: Cause(
        "A file has changed since it was stored",
        cause="Rankloop stores the SHA-256 of each snapshot and of each model's files, and verifies them "
        "before a run reads them. One of this run's input files has changed since it was stored.",
        fix="Restore the file from a backup. Otherwise, launch the run again with a new snapshot or another "
        "model.",
    ),
    FailureKind.VOCABULARIES_DIFFER: Cause(
        "The policy and the reward model don't match",
        cause="The two models were trained from base models with different vocabularies.",
        fix="Train a reward model from this policy, or choose the policy from which the reward model was "
        "trained.",
    ),
    FailureKind.TEMPLATES_DIFFER: Cause(
        "The policy and the reward model format conversations differently",
        cause="PPO passes the policy's tokens to the reward model. The reward model's chat template produces "
        "different tokens for the same conversation, so the reward model would score a different text.",
        fix="Train a reward model from this policy, or choose the policy from which the reward model was "
        "trained. Rejection sampling and RLOO also work, because they score the text in the reward model's "
        "own template.",
    ),
    FailureKind.GENERATION_SERVER: Cause(
        "The generation server can't be used",
        cause="The server that generates the answers of this run refused a request, or sent a response"
        " that does not match the policy. If the server is not responding, the run waits.",
        fix="The details state what to change: the server's options, the name of its model, the key in"
        " RANKLOOP_GENERATION_KEY, or the recipe. Then resume the run. Alternatively, leave `server` empty.",
        settings=("server", "server_model", "server_timeout", "max_new_tokens", "temperature"),
        again=True,
    ),
    FailureKind.DEVICE_LOST: Cause(
        "The GPU failed",
        cause="The GPU driver reported an error after which the training process could not use its GPU any "
        "more. The run was resumed automatically as often as allowed. Possible reasons are a hardware fault, "
        "a driver that was updated or reset during the run, or a GPU that another process uses exclusively.",
        fix="Check the GPU with nvidia-smi, and look for lines with Xid in the kernel's log (dmesg). If "
        "nvidia-smi fails, restart the machine. Then resume the run. A run with checkpoints continues from "
        "the last one.",
        again=True,
    ),
    FailureKind.DEVICE_DIFFERS: Cause(
        "The run started on another kind of device",
        cause="The run would have continued on a CPU although it started on a GPU, or the reverse. A CPU "
        "is much slower, and its results differ slightly. The run kept its checkpoint.",
        fix="Make a device of the original kind available to the training worker, restart the worker and "
        "resume the run. If PyTorch can't use a GPU, the details state the reason. To continue on the other "
        "kind of device, resume the run with other_device.",
        settings=("other_device",),
        again=True,
    ),
    FailureKind.REWARD_IS_FLAT: Cause(
        "The reward model assigns the same reward to every answer",
        cause="The reward model assigned the same reward to all its training responses, so there is "
        "nothing for the policy to optimise.",
        fix="Train the reward model again on more rankings, and check its held-out accuracy before you use "
        "the model.",
    ),
    FailureKind.REWARD_NOT_FINITE: Cause(
        "A reward model returned an invalid reward",
        cause="The reward was NaN or infinite. The training of the reward model probably diverged.",
        fix="Choose another reward model, or train it again at a lower learning rate. The details show "
        "which reward model returned the invalid reward.",
    ),
    FailureKind.INPUTS_REFUSED: Cause(
        "The recipe or the inputs can't be used",
        cause="The training code rejected the settings or the data of this run. The details state "
        "the reason.",
        fix="Correct the recipe or the inputs, then launch the run again.",
    ),
    FailureKind.WORKER_LOST: Cause(
        "The worker was lost",
        cause="The training worker, or its whole machine, stopped without reporting the reason. The run was "
        "resumed automatically as often as allowed. Possible reasons are a restart, a power failure or a "
        "lack of memory.",
        fix="Check the workers' logs and the machine's memory, then resume the run.",
        again=True,
    ),
    FailureKind.KILLED: Cause(
        "The training process was killed",
        cause="Something outside Rankloop ended the process with a signal. The run was resumed automatically "
        "as often as allowed. SIGKILL usually means that the memory limit of a container or of the machine "
        "was exceeded. SIGSEGV means a fault in a driver or a library.",
        fix="Look for memory limits and read the end of the log. If nothing explains the signal, resume the "
        "run.",
        settings=MEMORY_SETTINGS,
        again=True,
    ),
    FailureKind.NOT_STARTED: Cause(
        "The training process could not be started",
        cause="The worker could not create a new process: the installation is incomplete, or the machine has "
        "no memory left.",
        fix="Fix the problem named in the training worker's log, then resume the run.",
        again=True,
    ),
    FailureKind.CRASHED: Cause(
        "The training process crashed",
        cause="The process ended before it could report a reason.",
        fix="Read the end of the log.",
    ),
    FailureKind.HUNG: Cause(
        "The run made no progress",
        cause="The training process was still running, but its training loop made no progress for longer "
        "than the time allowed for one step. The process was stopped, and its newest checkpoint was kept. "
        "Possible reasons are a deadlock, an endless loop, a GPU or a network drive that no longer "
        "responds, or a step that is too large for the machine.",
        fix="The details show where the process was stuck. If a device or a drive did not respond, fix the "
        "problem and resume the run. If the steps are too large, lower the batch size or the length of the "
        "texts.",
        settings=("batch_size", "batch_rankings", "rollout_prompts", "max_length", "max_new_tokens"),
        again=True,
    ),
    FailureKind.TIME_LIMIT: Cause(
        "The run reached its time limit",
        cause="The run's attempts together took as long as its recipe allows (max_minutes). The run was "
        "stopped, and its newest checkpoint was kept.",
        fix="Resume the run with a higher time limit, or launch it with fewer steps.",
        settings=("max_minutes",),
        again=True,
    ),
    FailureKind.DATABASE_LOST: Cause(
        "The database could not be reached",
        cause="The training process could not read its inputs from the database or store its result there. "
        "It retried for a long time without success.",
        fix="Check the database and the network, then resume the run.",
        again=True,
    ),
    FailureKind.CANCELLED: Cause(
        "This run was cancelled",
        cause="A user cancelled this run before it saved a model. Its reports up to that point are below.",
        fix="Resume the run, or launch it with changes.",
        again=True,
    ),
    FailureKind.UNKNOWN: Cause(
        "The run was stopped by an unexpected error",
        cause="Rankloop has no explanation for this error. The details and the end of the log are below.",
        fix="Read the end of the log to see where the error occurred.",
    ),
}
