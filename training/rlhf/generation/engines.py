"""The engine that generates in this process, and the choice of a run's engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.rlhf.core import distributed
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion, Engine, Sampling
from training.rlhf.generation.server.engine import ServerEngine
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.parts.generation import UsesGeneration


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Generates with the policy's own weights, on the policy's device. `cache_bytes` limits the keys and
    values of one batch. If `cache_bytes` is None, keys and values can take a share of the free memory.
    `cuda_graphs` is as in `decoding.generate`."""

    cache_bytes: int | None = None
    cuda_graphs: bool = False

    def generate(
        self,
        policy: Loaded,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        seeds: Sequence[int],
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[list[Completion]]:
        return generate(
            *policy,
            prompts,
            n=sampling.n,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seeds,
            cache_bytes=self.cache_bytes,
            cuda_graphs=self.cuda_graphs,
            check=check,
            progress=progress,
        )


def open_engine(config: UsesGeneration) -> Engine:
    """Return the engine that generates the answers of a run with this recipe. Raises ServerUnusable if the
    run has several processes and a server."""
    if config.server and distributed.count() > 1:
        # Otherwise, the processes would load and unload the same adapter, and each would open as many
        # connections as `server_connections` allows.
        raise ServerUnusable(
            "a server can't generate the answers of a run with several processes. Set processes to 1, or"
            " leave server empty"
        )
    if config.server:
        return ServerEngine(config)
    return local_engine(config)


def local_engine(config: UsesGeneration) -> LocalEngine:
    """Return the engine that generates in this process, within the recipe's `generation_memory`."""
    memory = config.generation_memory
    return LocalEngine(None if memory is None else int(memory * 1e9), config.cuda_graphs)
