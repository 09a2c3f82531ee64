"""The rows of one forward pass, and the tokens whose log-probabilities are wanted."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Inputs:
    """R rows of T token positions, and N wanted tokens.

    ``input_ids`` and ``position_ids`` have shape (R, T). Without ``position_ids``, the model counts positions
    from the start of each row. ``attention_mask`` is any mask that the model supports: one number per
    position, a block mask or a `segments.segment_table`. ``targets``, with shape (N,), contains the IDs of
    the wanted tokens. ``sources``, with shape (N,), contains the position whose state predicts each wanted
    token, as an index into the R · T positions. If several answers share a prompt, the prompt's last position
    is the source of each answer's first token.
    """

    input_ids: Tensor
    attention_mask: Tensor
    sources: Tensor
    targets: Tensor
    position_ids: Tensor | None = None

    @classmethod
    def of(
        cls, input_ids: Tensor, attention_mask: Tensor, wanted: Tensor, position_ids: Tensor | None = None
    ) -> Inputs:
        """Return the inputs for the tokens that are marked in ``wanted``, a bool tensor of shape (R, T). Each
        token is predicted at the position before it.

        Raises ValueError if ``wanted`` marks a token in column 0, because no token comes before it.
        """
        if bool(wanted[:, 0].any()):
            raise ValueError("the first token of a row can't be predicted: no token comes before it")
        places = wanted.flatten().nonzero().squeeze(1)
        return cls(input_ids, attention_mask, places - 1, input_ids.flatten()[places], position_ids)

    @property
    def places(self) -> int:
        """The number of token positions, including padding."""
        return self.input_ids.numel()

    @property
    def in_segments(self) -> bool:
        """Whether the mask is a `segments.segment_table`."""
        return self.attention_mask.ndim == 4 and self.attention_mask.dtype == torch.long

    @property
    def given(self) -> dict[str, Any]:
        """The arguments for a transformers model."""
        given: dict[str, Any] = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "use_cache": False,
        }
        return given if self.position_ids is None else given | {"position_ids": self.position_ids}

    def to(self, device: torch.device) -> Inputs:
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None}
        return replace(self, **moved)
