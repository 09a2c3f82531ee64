"""Check, using only the files in a model's folder, whether the model can serve its purpose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from training.rlhf.models.checks.adapter import refuse_adapter
from training.rlhf.models.checks.files import Shapes, config_in, number_in, weights_in
from training.rlhf.models.checks.layers import layers_in
from training.rlhf.models.checks.refusal import Purpose, Refused, unreadable, wrong_kind
from training.rlhf.models.checks.tokenizer import TOKENIZER_CONFIG, TokenizerFiles, tokenizer_in
from training.rlhf.models.checks.vocabulary import refuse_unknown_pad, refuse_unknown_tokens
from training.rlhf.models.files import adapters
from training.rlhf.models.files.shapes import ENCODERS

# The names of the input embeddings in the architectures that transformers can use as a trunk.
EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|tok_embeddings)\.weight$")
SCORING_HEAD = re.compile(r"^(?:score|classifier|classifier\.out_proj)\.weight$")
# The names of the output layers of causal language models.
GENERATION_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out|output|decoder|cls|lm_prediction_head)\.")
CLASSIFIER = "ForSequenceClassification"
OTHER_HEADS = ("ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "ForMaskedLM")
MOST_NAMED = 5  # maximum number of missing layers that an error names
ADVICE = "As a reward model, use the result of a reward_model run; as a policy, use a causal language model."


def check_model(folder: Path, purpose: Purpose) -> None:
    """Raise Refused if the model in ``folder`` can't serve ``purpose``. For an adapter, its base model is
    checked too. A base model that is missing, or known only by its hub name, is not checked. A model whose
    config.json does not name its type is not checked either, because transformers' own error then names the
    missing setting."""
    if not adapters.is_adapter(folder):
        config = config_in(folder)
        if not config.get("model_type"):
            return
        weights = weights_in(folder)
        refuse_wrong_architecture(folder, config, purpose)
        refuse_other_outputs(folder, config, weights, purpose)
        refuse_missing_weights(folder, config, weights, purpose)
        refuse_other_tokens(folder, config, weights, tokenizer_in(folder))
        return
    try:
        base = Path(adapters.base_of(folder))
    except adapters.BrokenAdapter as error:
        raise unreadable(folder, f"{error}.") from error
    if not adapters.holds_model(base):
        refuse_adapter(folder, purpose, config={}, weights={})
        return
    if adapters.is_adapter(base):
        raise Refused(
            f"{str(folder)!r} is an adapter for another adapter ({str(base)!r}). Merge the base adapter "
            "first: load it and save it as a complete model."
        )
    config, weights = config_in(base), weights_in(base)
    refuse_wrong_architecture(base, config, Purpose.TRUNK if purpose != Purpose.POLICY else purpose)
    refuse_missing_weights(base, config, weights, Purpose.TRUNK if purpose != Purpose.POLICY else purpose)
    refuse_adapter(folder, purpose, config=config, weights=weights)
    own = (folder / TOKENIZER_CONFIG).is_file()
    refuse_other_tokens(folder, config, weights, tokenizer_in(folder if own else base))


def refuse_wrong_architecture(model: Path | str, config: Mapping[str, Any], purpose: Purpose) -> None:
    """Raise Refused for an architecture that can't serve ``purpose``, and for quantised weights."""
    kind, architecture = str(config.get("model_type", "")), architecture_of(config)
    if config.get("is_encoder_decoder"):
        scoring = purpose != Purpose.POLICY
        raise wrong_kind(
            model,
            f"{kind} is {'neither' if scoring else 'not'} a causal language model"
            f"{' nor an encoder' if scoring else ''}. Use a causal language model"
            f"{' or an encoder' if scoring else ''} instead.",
        )
    if config.get("quantization_config"):
        raise unreadable(
            model, "its weights are quantised, so they can't be trained. Use the unquantised model."
        )
    if purpose != Purpose.POLICY:
        return
    if architecture.endswith(CLASSIFIER):
        raise wrong_kind(
            model,
            f"{architecture} is the architecture of a reward model, which scores text and can't "
            f"generate text. {ADVICE}",
        )
    if kind in ENCODERS and not config.get("is_decoder"):
        raise wrong_kind(model, f"{kind} is an encoder, which can't generate text. {ADVICE}")
    if architecture.endswith(OTHER_HEADS):
        raise wrong_kind(model, f"{architecture} has no head for generating text. {ADVICE}")


def refuse_other_outputs(model: Path, config: Mapping[str, Any], weights: Shapes, purpose: Purpose) -> None:
    """Raise Refused for a reward model without its head, or with several outputs. transformers would
    initialise a missing head at random."""
    heads = {name: shape for name, shape in weights.items() if SCORING_HEAD.search(name)}
    stored = architecture_of(config).endswith(CLASSIFIER)
    if purpose == Purpose.POLICY or not (stored or purpose == Purpose.REWARD_MODEL):
        return
    if not heads:
        lost = " According to its config.json, it was saved with one." if stored else ""
        raise wrong_kind(model, f"it has no reward head (score.weight or classifier.weight).{lost} {ADVICE}")
    outputs = min(shape[0] for shape in heads.values() if shape)
    if stored and outputs != 1:
        raise wrong_kind(
            model,
            f"it classifies texts into {outputs} classes, but a reward model has one output. Use the "
            "language model from which it was trained.",
        )


def refuse_missing_weights(model: Path, config: Mapping[str, Any], weights: Shapes, purpose: Purpose) -> None:
    """Raise Refused if a layer or the output layer is missing. transformers would initialise the missing
    weights at random."""
    layers = layers_in(weights).get("", set())
    expected = number_in(config, "num_hidden_layers", "n_layer", "n_layers")
    missing = list(islice((number for number in range(expected) if number not in layers), MOST_NAMED + 1))
    if layers and missing:
        named = ("layer " if len(missing) == 1 else "layers ") + ", ".join(map(str, missing[:MOST_NAMED]))
        more = " and more" if len(missing) > MOST_NAMED else ""
        raise unreadable(
            model,
            f"config.json specifies {expected} layers, but the model has no weights for "
            f"{named}{more}. Download or save the model again.",
        )
    if (
        purpose == Purpose.POLICY
        and config.get("tie_word_embeddings") is False
        and not any(GENERATION_HEAD.search(name) for name in weights)
    ):
        raise wrong_kind(
            model,
            "it has no weights for its output layer (lm_head), and according to config.json, the output "
            f"layer does not share the embeddings (tie_word_embeddings). {ADVICE}",
        )


def refuse_other_tokens(
    model: Path, config: Mapping[str, Any], weights: Shapes, tokenizer: TokenizerFiles | None
) -> None:
    """Raise Refused if there are fewer embeddings than config.json specifies, or if the tokenizer has a token
    without an embedding. Some models have more embeddings: Llama 3.2 Vision has eight more, for images."""
    found = {shape[0] for name, shape in weights.items() if shape and EMBEDDINGS.search(name)}
    stored = max(found, default=0)
    rows = max(number_in(config, "vocab_size"), stored)
    if not rows:
        return
    if 0 < stored < rows:
        raise unreadable(
            model,
            f"config.json has vocab_size={rows}, but the embeddings in the weights have {stored} rows. "
            "Correct vocab_size, or save the model again with save_pretrained.",
        )
    if tokenizer is not None:
        refuse_unknown_tokens(model, tokenizer.tokens, rows=rows, placeholders=tokenizer.placeholders)
    refuse_unknown_pad(model, config.get("pad_token_id"), kind=str(config.get("model_type")), rows=rows)


def architecture_of(config: Mapping[str, Any]) -> str:
    named = config.get("architectures") or [""]
    return str(named[0]) if isinstance(named, list) else ""
