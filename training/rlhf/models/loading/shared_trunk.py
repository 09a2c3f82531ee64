"""Reward models as adapters on the trunk of a policy that is itself an adapter of the same base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from training.rlhf.models.checks.model import check_model
from training.rlhf.models.checks.refusal import Purpose, Refused
from training.rlhf.models.files import adapters
from training.rlhf.models.loading.opening import settings_of, tokenizer_of
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.sources import Loaded, ModelSource, class_for
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.trunks import has_adapters, plain

PREFIX = "base_model.model."
HEAD = "score.weight"


class Shared(NamedTuple):
    """A reward model that consists of a policy's trunk, one of the trunk's adapters, and its own head."""

    loaded: Loaded
    adapter: str


def share_trunk(policy: Any, source: ModelSource) -> Shared | None:
    """Return the reward model on the policy's trunk, or None if it needs a trunk of its own.

    The trunk is shared if the policy and the reward model are adapters of the same base model, and if the
    base model in memory has the weights with which the reward model was trained. Otherwise, nothing is
    changed. Raises ModelNotFound if the adapter's files can't be used.
    """
    if isinstance(source, Loaded) or not has_adapters(policy) or not _same_base(policy, Path(source)):
        return None
    folder = Path(source)
    try:
        check_model(folder, Purpose.REWARD_MODEL)
    except Refused as refused:
        raise ModelNotFound(str(refused), refused.kind) from refused
    weights = load_file(folder / adapters.ADAPTER_WEIGHTS)
    matrices = {key: one for key, one in weights.items() if ".lora_" in key}
    if weights.keys() - matrices.keys() != {PREFIX + HEAD}:
        return None  # the reward model has additional modules of its own
    reading = {"trust_remote_code": False, "local_files_only": True}
    base = adapters.base_of(folder)
    tokenizer = tokenizer_of(folder, base, reading)
    config = settings_of(base, folder, tokenizer, reading, Purpose.REWARD_MODEL)
    with torch.device("meta"):  # the empty model takes no memory
        classifier = class_for(Purpose.REWARD_MODEL).from_config(config)
    if not isinstance(getattr(classifier, "score", None), nn.Linear):
        return None
    name = f"reward_{sum(one.startswith('reward_') for one in policy.peft_config)}"
    lora.add_adapter(policy, name, _settings_in(folder), trained=False)
    lora.fill_adapter(policy, name, matrices)
    trunk: Any = plain(policy).base_model
    head = weights[PREFIX + HEAD].float()
    classifier.score = nn.Linear(head.shape[1], head.shape[0], bias=False, device=trunk.device)
    classifier.score.requires_grad_(False).weight.copy_(head)
    setattr(classifier, classifier.base_model_prefix, trunk)
    return Shared(Loaded(classifier.train(False), tokenizer), name)


def _same_base(policy: Any, folder: Path) -> bool:
    if not adapters.is_adapter(folder) or adapters.missing_base(folder):
        return False
    own = str(policy.peft_config[lora.POLICY].base_model_name_or_path)
    same = adapters.lasting_name(adapters.base_of(folder)) == adapters.lasting_name(own)
    return same and adapters.notes_of(folder).get(adapters.BASE_DIGEST) == lora.base_digest(policy)


def _settings_in(folder: Path) -> Any:
    from peft import PeftConfig  # importing peft takes several seconds

    return PeftConfig.from_pretrained(str(folder))
