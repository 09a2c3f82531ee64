"""Why a run ended without a result, and what to do about it, from what was recorded when it did.

Read from the record each time it is shown: a cause that is told apart better tomorrow is told of yesterday's
runs too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from training.models import TrainingRun


@dataclass(frozen=True)
class Failure:
    """`kind` is stable and for programs. `settings`: those of the run's recipe to look at before it is
    launched again; `again`: whether the same run may well succeed another time. `detail` is what was
    recorded."""

    kind: str
    title: str
    cause: str
    fix: str
    settings: tuple[str, ...] = ()
    again: bool = False
    detail: str = ""


@dataclass(frozen=True)
class _Known:
    pattern: re.Pattern[str]
    kind: str
    title: str
    cause: str
    fix: str
    settings: tuple[str, ...] = ()
    again: bool = False


def _known(pattern: str, kind: str, title: str, *, cause: str, fix: str, **more: object) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE), kind, title, cause, fix, **more)  # type: ignore[arg-type]


SMALLER = (
    *("micro_batch_size", "micro_batch_tokens", "max_length", "max_new_tokens", "rollout_prompts"),
    *("samples_per_prompt", "base_model"),
)
SLOWER = ("learning_rate", "value_learning_rate", "max_grad_norm", "clip")
LONGER = ("max_length", "max_new_tokens")

# The first that fits says it; the title of the record comes first in the text that they are held against.
KNOWN = (
    _known(
        r"out of memory|can't allocate memory|cannot allocate memory|DefaultCPUAllocator|bad_alloc",
        "out_of_memory",
        "Out of memory",
        cause="The run needed more memory than the machine had left. What is held at once grows with the "
        "model, the micro-batch and the length of the texts.",
        fix="Halve the micro-batch first: it changes nothing in what is learned. If that is not enough, "
        "shorten the texts or take a smaller model. The estimate on the launch form says what each change "
        "saves.",
        settings=SMALLER,
    ),
    _known(
        r"no space left on device|disk quota exceeded",
        "disk_full",
        "The disk is full",
        cause="There was no room left to write the model or its log.",
        fix="Free some space where the state folder lies (old runs and archived models can go), then run it "
        "again.",
        again=True,
    ),
    _known(
        r"training diverged|(loss|gradient norm|grad_norm\S*)(?: is)? (nan|-?inf)",
        "diverged",
        "Training diverged",
        cause="The loss or a gradient was no longer a number. Nearly always the learning rate is too high "
        "for this model; seldom a broken row is to blame. Nothing was saved.",
        fix="Divide the learning rate by three to ten, or leave it empty: it then follows the size of the "
        "model.",
        settings=SLOWER,
    ),
    _known(
        r"weights of .+ are gone",
        "model_gone",
        "A model of this run is gone",
        cause="The folder of a model that the run was to start from no longer holds its weights.",
        fix="Put the folder back from a backup, or choose another model.",
    ),
    _known(
        r"is an adapter: it changes the model at",
        "adapter_base_gone",
        "The base of an adapter is gone",
        cause="A LoRA adapter holds only what differs from the model that it was trained on, and that one is "
        "no longer where the adapter says.",
        fix="Put the base's folder back from a backup (beside the adapter's will do), or choose another "
        "model.",
    ),
    _known(
        r"no model at .+: it (is not a folder|has no config\.json)|there is no model at",
        "base_model_missing",
        "There is no model at that path",
        cause="The base model is named by a path, and on the machine of the training worker there is no "
        "model there.",
        fix="Correct the path (it is looked up on the worker's machine, not on yours), or choose a model of "
        "the project.",
        settings=("base_model",),
    ),
    _known(
        r"hub did not give it.*(couldn't connect|offline|local cache|cached files|outgoing|timed? ?out|"
        r"name resolution|connection|local_files_only)",
        "hub_unreachable",
        "The model hub is out of reach",
        cause="The base model is a name of the Hugging Face hub, and the training worker can't reach the "
        "hub; the model isn't in its cache either.",
        fix="Connect the worker (HTTPS_PROXY is respected), or download the model elsewhere, copy its "
        "folder to the worker's machine and give the path.",
        settings=("base_model",),
        again=True,
    ),
    _known(
        r"hub did not give it",
        "hub_unknown_name",
        "The hub has no such model",
        cause="The Hugging Face hub answered, but not with this model: the name is wrong, or the model is "
        "gated and the worker has no token for it.",
        fix="Copy the name from the model's page (owner/name). For a gated model, accept its terms and set "
        "HF_TOKEN for the worker.",
        settings=("base_model",),
    ),
    _known(
        r"is not the kind of model asked for",
        "wrong_kind_of_model",
        "This is another kind of model",
        cause="The folder holds a model, but not of the kind that this run takes.",
        fix="A policy is a causal language model; a reward model is made by a reward_model run. Choose "
        "accordingly.",
        settings=("base_model",),
    ),
    _known(
        r"no loadable model|model was not found",
        "model_unreadable",
        "The model can't be read",
        cause="The files of the model are incomplete, damaged or of a form that is refused (only "
        "safetensors are read, and no code that comes with a model is run).",
        fix="Download it again, or save it as safetensors with `save_pretrained`.",
        settings=("base_model",),
    ),
    _known(
        r"no room for a prompt|response_too_long|[1-9]\d* of them with a response that fills all|"
        r"leaves no room for its prompt",
        "texts_too_long",
        "The texts don't fit",
        cause="Prompt and response together are longer than the model's context or the recipe's limit, so "
        "nothing was left to learn from.",
        fix="Raise max_length, lower max_new_tokens, or take a model with a longer context.",
        settings=LONGER,
    ),
    _known(
        r"has an answer worth keeping",
        "nothing_kept",
        "No answer was worth keeping",
        cause="Every sampled answer was cut off at its limit, or none led its prompt's mean by enough.",
        fix="Raise max_new_tokens so that answers can end, lower min_gain, or sample at a higher "
        "temperature.",
        settings=("max_new_tokens", "min_gain", "temperature", "samples_per_prompt"),
    ),
    _known(
        r"gold judge can't read|gold can judge no other",
        "gold_cannot_judge",
        "Gold can't judge these prompts",
        cause="Gold is the known truth of the demo world; it can't read prompts that people brought.",
        fix="Set the judge to reward_model.",
        settings=("judge",),
    ),
    _known(
        r"no ranking to learn from|no demonstration to learn from|no ranking of the training split|"
        r"has no (train |heldout )?prompts|no prompt to answer|at least one prompt|no comparison",
        "data_empty",
        "There was too little to learn from",
        cause="After what can't be used was left out (ties that are ignored, rankings held out for "
        "measuring, texts that are too long), nothing remained.",
        fix="Rank or import more, or choose a snapshot with more in it. Where most rankings are ties, let "
        "the reward model learn from ties.",
        settings=("ties", "heldout_fraction", "heldout_share", "max_length"),
    ),
    _known(
        r"broken rows|there is no such file|not a readable Parquet|has no column",
        "data_unreadable",
        "The snapshot can't be read",
        cause="The file of the snapshot is missing or damaged.",
        fix="Restore the artefacts folder, or freeze a new snapshot and choose that.",
    ),
    _known(
        r"reads other tokens than the policy writes",
        "vocabularies_differ",
        "Policy and reward model don't fit together",
        cause="They were made from base models with different vocabularies.",
        fix="Train a reward model from this policy, or choose the policy that the reward model came from.",
    ),
    _known(
        r"same reward: nothing to climb",
        "reward_is_flat",
        "The reward model likes everything alike",
        cause="It gave all of its training responses the same reward, so there is nothing to improve "
        "towards.",
        fix="Train it again with more rankings, and look at its held-out accuracy before using it.",
    ),
    _known(
        r"worker was lost",
        "worker_lost",
        "The worker was lost",
        cause="The training worker, or its whole machine, went away several times without a word: a "
        "restart, a power cut, or a machine that was out of memory.",
        fix="Look at the workers' logs and the machine's memory, then run it again; it begins from its "
        "start.",
        again=True,
    ),
    _known(
        r"process was killed",
        "killed",
        "The training process was killed",
        cause="Something outside of Rankloop ended the process by a signal. SIGKILL is most often a limit "
        "on memory (of a container, or the machine's); SIGSEGV a fault in a driver or library.",
        fix="Look for limits on memory and at the end of the log. If nothing explains it, run it again.",
        settings=SMALLER,
        again=True,
    ),
    _known(
        r"could not be started",
        "not_started",
        "The training process could not be started",
        cause="The worker could not make a new process: an incomplete installation, or no memory to start "
        "with.",
        fix="Mend what the log of the training worker names, then run it again.",
        again=True,
    ),
    _known(
        r"ended with exit code",
        "crashed",
        "The training process crashed",
        cause="It ended before it could say why.",
        fix="The end of the log says more.",
    ),
)
PROCESS = "The training process"
CANCELLED = Failure(
    kind="cancelled",
    title="This run was cancelled",
    cause="Somebody asked this run to stop. Nothing of it was kept; what it had said until then is below.",
    fix="Run it again to begin from its start, or launch it again with changes.",
    again=True,
)


def explain(run: TrainingRun) -> Failure | None:
    """The failure of a failed or cancelled run; None for any other."""
    if run.state == TrainingRun.State.CANCELLED:
        return CANCELLED
    if run.state != TrainingRun.State.FAILED or not run.error:
        return None
    return explain_record(run.error, recipe=run.recipe)


def explain_record(error: Mapping[str, str], *, recipe: Mapping[str, object]) -> Failure:
    """What a record (`title`, `detail`, `fix`) means; one that nothing here knows speaks for itself."""
    text = " ".join(f"{error['title']}: {error['detail']}".split())
    if error["title"].startswith(PROCESS):
        # Its detail ends with the log's last lines, which may be about anything.
        text = error["title"]
    for known in KNOWN:
        if known.pattern.search(text):
            return Failure(
                kind=known.kind,
                title=known.title,
                cause=known.cause,
                fix=known.fix,
                settings=tuple(name for name in known.settings if name in recipe),
                again=known.again,
                detail=error["detail"],
            )
    return Failure(
        kind="unknown",
        title=error["title"],
        cause="This error has no explanation here yet; its own words and the end of the log are below.",
        fix=error["fix"],
        detail=error["detail"],
    )
