"""Check whether a model has an embedding for every token of its tokenizer.

A tokenizer with an added token, such as `[PAD]`, can be saved with a model whose embeddings were not resized.
Training works as long as no text contains the token. However, if the token is the trained model's pad token,
the trained model can't be loaded, because its pad token has no embedding. If a text contains the token, a
run on a GPU stops without a useful message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.refusal import Refused

SHOWN = 5
# Model types whose embedding does not depend on the pad token.
NO_PADDING_INDEX = {
    *("bloom", "codegen", "falcon", "falcon_mamba", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox"),
    *("gpt_neox_japanese", "gptj", "mamba", "mamba2", "mpt", "nemotron_h", "rwkv", "xlstm"),
}


def refuse_unknown_tokens(
    model: Path | str, tokens: Mapping[str, int], *, rows: int, placeholders: Collection[str] = ()
) -> None:
    """Raise Refused if a token's ID is beyond the model's last embedding row. More rows than tokens are fine,
    because many models pad their embeddings to a round number."""
    beyond = sorted(
        (number, token) for token, number in tokens.items() if number >= rows and token not in placeholders
    )
    if not beyond:
        return
    shown = ", ".join(f"{token!r} (ID {number})" for number, token in beyond[:SHOWN])
    more = f" and {len(beyond) - SHOWN} more" if len(beyond) > SHOWN else ""
    largest = beyond[-1][0]
    raise Refused(
        f"The tokenizer of {str(model)!r} does not fit the model: the model has {rows} embedding rows (IDs "
        f"0 to {rows - 1}), but the tokenizer's largest ID is {largest}. Tokens without an "
        f"embedding: {shown}{more}. Call model.resize_token_embeddings({largest + 1}) and save the model "
        "again, or remove these tokens from the tokenizer. As the pad token, choose a token that the "
        "vocabulary already has.",
        FailureKind.TOKENIZER_DOES_NOT_FIT,
    )


def refuse_unknown_pad(model: Path | str, pad: object, *, kind: str, rows: int) -> None:
    """Raise Refused if the ID of the pad token in `config.json` is beyond the model's last embedding row, and
    if models of type `kind` (`model_type`) use this ID when they create the embedding. torch can't create the
    embedding in that case."""
    if isinstance(pad, int) and pad >= rows and kind not in NO_PADDING_INDEX:
        raise Refused(
            f"The settings of {str(model)!r} do not fit the model: config.json has pad_token_id={pad}, but "
            f"the model has {rows} embedding rows (IDs 0 to {rows - 1}). Set pad_token_id to the ID of a "
            f"token that the model has, or call model.resize_token_embeddings({pad + 1}) and save the "
            "model again.",
            FailureKind.TOKENIZER_DOES_NOT_FIT,
        )
