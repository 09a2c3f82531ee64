"""Settings of every recipe that generates answers."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.parts.servers import UsesServer


class UsesGeneration(UsesServer):
    """Where answers are generated, and with how much memory. These settings do not change the policy's
    distribution."""

    generation_memory: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="Memory limit for the keys and values of answers that are generated together, in GB. If"
        " empty, the limit is half of the free memory on a GPU, or a quarter of the free memory on a CPU.",
    )
    cuda_graphs: bool = Field(
        False,
        description="On a GPU, decode models of the Llama family with CUDA graphs, which launch all kernels"
        " of a token at once. If no graph can be captured, decoding continues without graphs. Experimental:"
        " decoding with CUDA graphs has not been run on a GPU yet. On a CPU, this setting has no effect.",
    )
