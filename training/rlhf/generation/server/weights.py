"""The weights of a policy on a generation server.

A server is started with the policy, or with the base model of the policy's adapter. Adapters are written to a
folder that this machine shares with the server, and are loaded while the server runs (vLLM, "Dynamically
serving LoRA Adapters").

An adapter's name contains a digest of its weights. If the same name referred to new weights after each step,
vLLM would reuse keys and values that its prefix cache computed with the old weights
(vllm-project/vllm#42125).
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from storage import durable
from storage.space import naming_full_disk
from training.rlhf.generation.server.access import ADAPTERS, Access
from training.rlhf.generation.server.connections import Connections
from training.rlhf.generation.server.failures import ServerTrouble, ServerUnusable
from training.rlhf.generation.server.protocol import json_of
from training.rlhf.models.files.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from training.rlhf.models.parts.trunks import has_adapters

logger = logging.getLogger(__name__)
NAME = "rankloop-{}"
UNLOAD_SECONDS = 10.0
SHOWN_NAMES = 10


@dataclass(frozen=True, slots=True)
class Adapter:
    """A policy's adapter as PEFT stores it: its weights, and its settings as JSON. `name` depends only on the
    settings and the weights."""

    name: str
    settings: str
    weights: dict[str, Tensor]

    def write(self, folder: Path) -> None:
        """Write the adapter to `folder`, unless it is already there. A reader never sees an incomplete
        adapter."""
        if folder.exists():
            return
        unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
        unfinished.mkdir(parents=True)
        try:
            with naming_full_disk(folder.parent):
                (unfinished / ADAPTER_CONFIG).write_text(self.settings, encoding="utf-8")
                save_file(self.weights, unfinished / ADAPTER_WEIGHTS)
                durable.publish_once(unfinished, folder)  # another run can write the same adapter
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def adapter_of(model: Any) -> Adapter | None:
    """Return the active adapter of a policy, or None if the policy has no adapter."""
    if not has_adapters(model):
        return None
    active = str(model.active_adapter)
    settings = copy.copy(model.peft_config[active])
    settings.inference_mode = True
    found = get_peft_model_state_dict(model, adapter_name=active, save_embedding_layers=False)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}
    text = json.dumps(
        {
            key: sorted(value) if isinstance(value, set) else value
            for key, value in settings.to_dict().items()
        },
        sort_keys=True,
        default=str,
    )
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return Adapter(NAME.format(digest.hexdigest()[:24]), text, weights)


class ServedWeights:
    """Makes sure that the server answers with the policy's current weights."""

    def __init__(self, connections: Connections, model: str, access: Access) -> None:
        self._connections, self._model, self._access = connections, model, access
        self._loaded: Adapter | None = None
        # For a policy without an adapter, the versions of its weights at the first call to `load`.
        self._complete: tuple[tuple[int, int], ...] | None = None

    @property
    def name(self) -> str:
        """The model name that each request must contain."""
        return self._model if self._loaded is None else self._loaded.name

    def load(self, policy: Any) -> None:
        """Load the policy's adapter, unless the server has it. Raises ServerTrouble or ServerUnusable if this
        fails."""
        adapter = adapter_of(policy)
        offered = self._offered()
        if self._model not in offered:
            names = ", ".join(repr(name) for name in sorted(offered)[:SHOWN_NAMES]) or "none"
            raise ServerUnusable(
                f"the server at {self._connections.address} has no model {self._model!r}. Its models are:"
                f" {names}. Set server_model to one of them"
            )
        if adapter is None:
            self._refuse_changed(policy)
            return
        if adapter.name not in offered:
            self._load(adapter)
        before, self._loaded = self._loaded, adapter
        if before is not None and before.name != adapter.name:
            self._remove(before)

    def remove(self) -> None:
        """Remove this run's adapter from the server and from the shared folder."""
        if self._loaded is not None:
            self._remove(self._loaded)
            self._loaded = None

    def _offered(self) -> set[str]:
        answer = self._connections.request("/v1/models")
        if answer.status in (401, 403):
            raise ServerUnusable(
                f"the server at {self._connections.address} refused access (status {answer.status}). Set"
                " RANKLOOP_GENERATION_KEY to the server's key"
            )
        if answer.status != 200:
            raise ServerUnusable(
                f"there is no OpenAI-compatible server at {self._connections.address}: /v1/models responded"
                f" with status {answer.status} ({answer.words})"
            )
        found = json_of(answer, "/v1/models")
        listed = found.get("data") if isinstance(found, dict) else None
        return {
            one["id"]
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict) and isinstance(one.get("id"), str)
        }

    def _load(self, adapter: Adapter) -> None:
        if self._access.adapters is None:
            raise ServerUnusable(
                "this run trains an adapter, which the server must load from a shared folder. Set"
                f" {ADAPTERS} to a folder that the worker and the server share"
            )
        try:
            adapter.write(self._access.adapters / adapter.name)
        except OSError as error:
            raise ServerUnusable(
                f"the adapter can't be written to {self._access.adapters} ({ADAPTERS}): {error.strerror}"
            ) from error
        there = f"{self._access.adapters_there.rstrip('/')}/{adapter.name}"
        answer = self._connections.request(
            "/v1/load_lora_adapter", {"lora_name": adapter.name, "lora_path": there}
        )
        if answer.status == 200:
            return
        if adapter.name in self._offered():
            return  # another run has loaded the same adapter
        if answer.status >= 500 and "lora" not in answer.words.lower():
            raise ServerTrouble(f"it responded with status {answer.status} ({answer.words})")
        raise ServerUnusable(
            f"the server did not load the adapter in {there} (status {answer.status}: {answer.words})."
            " Start vLLM with --enable-lora, with a --max-lora-rank of at least the adapter's rank, and with"
            " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True. The server must be able to read this folder"
        )

    def _remove(self, adapter: Adapter) -> None:
        """Remove an adapter that is no longer used. If this fails, the only effect is that the adapter still
        takes up memory on the server."""
        try:
            self._connections.request(
                "/v1/unload_lora_adapter", {"lora_name": adapter.name}, timeout=UNLOAD_SECONDS
            )
        except (ServerTrouble, ServerUnusable) as error:
            logger.warning("The server did not unload the adapter %s: %s", adapter.name, error)
        if self._access.adapters is not None:
            shutil.rmtree(self._access.adapters / adapter.name, ignore_errors=True)

    def _refuse_changed(self, policy: Any) -> None:
        """Raise ServerUnusable if a policy without an adapter has been trained since the first call. Training
        increases the version that torch stores for each tensor."""
        versions = tuple((one.data_ptr(), one._version) for one in policy.parameters())
        if self._complete is None:
            self._complete = versions
        if versions != self._complete:
            raise ServerUnusable(
                "the policy was trained, but the server still has the old weights, and a server can't load"
                " all weights of a policy. Train an adapter (use_peft), or leave server empty"
            )
