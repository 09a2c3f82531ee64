"""Convert the state of a training loop (weights, moments, random generators) to named tensors and back.

The named tensors of a sharded model are the same as without sharding (`complete`), so a run can resume with a
different number of processes, with or without sharding.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.rlhf.core import distributed
from training.rlhf.core.masters import optimised
from training.rlhf.core.sharding import divided, fill, local, whole

# Approximate number of values sampled per tensor. Hashing every value in a 7B model would take about
# a minute.
SAMPLED_NUMBERS = 1024

Modules = Mapping[str, nn.Module]
Optimisers = Mapping[str, torch.optim.Optimizer]  # no key contains a dot


def fingerprint(modules: Modules) -> str:
    """Return a digest of the modules' weights and buffers. The digest identifies the models with which a run
    starts. The digest covers each tensor's shape and a sample of the tensor's values. A sample has fewer than
    2 * SAMPLED_NUMBERS values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(saved_tensors(modules, frozen=True).items()):
        flat = whole(tensor.detach()).reshape(-1)
        some = flat[:: max(1, flat.numel() // SAMPLED_NUMBERS)].to("cpu", torch.float32)
        digest.update(f"{name} {tuple(tensor.shape)} ".encode() + some.numpy().tobytes())
    return digest.hexdigest()


def saved_tensors(modules: Modules, *, frozen: bool = False) -> dict[str, Tensor]:
    """Return the trained weights (tied weights only once) and the buffers that are saved with them. With
    `frozen`, also return the frozen weights."""
    found: dict[str, Tensor] = {}
    for part, module in modules.items():
        saved = module.state_dict()
        for name, parameter in module.named_parameters():
            if frozen or parameter.requires_grad:
                found[f"{part}.{name}"] = parameter.detach()
        found |= {f"{part}.{name}": buffer for name, buffer in module.named_buffers() if name in saved}
    return found


def master_weights(modules: Modules, optimisers: Optimisers) -> dict[str, Tensor]:
    """Return the optimisers' parameters that no module contains: the masters of 16-bit weights."""
    own = {id(parameter) for module in modules.values() for parameter in module.parameters()}
    return {
        f"masters.{part}.{number}": parameter.detach()
        for part, optimiser in optimisers.items()
        for number, parameter in enumerate(optimised(optimiser))
        if id(parameter) not in own
    }


@torch.no_grad()
def fill_masters(modules: Modules, optimisers: Optimisers, tensors: Mapping[str, Tensor]) -> None:
    """Restore the masters of 16-bit weights. A checkpoint of a sharded run contains no masters, because
    sharded weights are float32. In this case, the masters are set to the checkpoint's weights, so that a run
    without sharding can resume from the checkpoint. If a sharded run resumes from a checkpoint with masters,
    the masters become the run's weights."""
    if any(name.startswith("masters.") for name in tensors):
        for part, optimiser in optimisers.items():
            for number, parameter in enumerate(optimised(optimiser)):
                if (stored := tensors.get(f"masters.{part}.{number}")) is not None:
                    fill(parameter, stored)
        return
    for part, module in modules.items():
        for name, weight in module.named_parameters():
            if weight.requires_grad and (master := getattr(weight, "master", None)) is not None:
                master.copy_(tensors[f"{part}.{name}"])


def fill_modules(modules: Modules, tensors: Mapping[str, Tensor]) -> None:
    for name, place in saved_tensors(modules).items():
        fill(place, tensors[name])


def kept_in_memory(modules: Modules) -> dict[str, Tensor]:
    """Return a copy of the saved tensors in main memory. The copy of a sharded tensor contains only this
    process's part."""
    return {name: local(tensor).to("cpu", copy=True) for name, tensor in saved_tensors(modules).items()}


@torch.no_grad()
def restore_from_memory(modules: Modules, kept: Mapping[str, Tensor]) -> None:
    for name, place in saved_tensors(modules).items():
        local(place).copy_(kept[name])


def moments_of(optimisers: Optimisers) -> dict[str, Tensor]:
    return {
        f"{part}.{number}.{name}": value
        for part, optimiser in optimisers.items()
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def fill_optimisers(optimisers: Optimisers, tensors: Mapping[str, Tensor]) -> None:
    states: dict[str, dict[int, dict[str, Tensor]]] = {part: {} for part in optimisers}
    for name, tensor in tensors.items():
        part, number, what = name.split(".", 2)
        weight = optimised(optimisers[part])[int(number)]
        # Adam's step count is a single number, which is not sharded.
        states[part].setdefault(int(number), {})[what] = divided(tensor, weight) if tensor.ndim else tensor
    for part, optimiser in optimisers.items():
        optimiser.load_state_dict(optimiser.state_dict() | {"state": states[part]})


def generator_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the states of the global random generators: torch's as tensors, NumPy's and Python's as
    numbers."""
    drawn = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        drawn |= {f"cuda.{n}": state for n, state in enumerate(torch.cuda.get_rng_state_all())}
    name, keys, *rest = np.random.get_state(legacy=True)
    numbers = {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), *rest]}
    return drawn, numbers


def set_generator_states(drawn: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    torch.set_rng_state(drawn["cpu"])
    for device in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda.{device}" in drawn:
            torch.cuda.set_rng_state(drawn[f"cuda.{device}"], device)
    version, keys, gauss = numbers["python"]
    random.setstate((version, tuple(keys), gauss))
    name, keys, *rest = numbers["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))


def complete(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors on the CPU, in the first process only. If one of them is sharded, all processes must
    call this function. Only one sharded tensor at a time is gathered on the device."""
    found = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor.detach())
        if distributed.is_first():
            found[name] = gathered.to("cpu").contiguous()
    return found
