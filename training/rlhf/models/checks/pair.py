"""Check whether a policy and a reward model encode conversations identically, as PPO requires.

PPO passes the sampled token IDs to the reward model, because decoding and re-encoding can change them. The
scores are correct only if the reward model's own tokenizer and chat template produce the same IDs for the
same text. `PROBES` are therefore encoded with both models' templates, and templates that are written
differently but produce the same IDs are accepted. Rejection sampling and evaluation score the text, which the
reward model's own template renders.
"""

from __future__ import annotations

import filecmp
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.lengths import rows_in
from training.rlhf.models.checks.probes import NO_ARGUMENTS, OPTIONAL, PROBES, Reading, reading_of_folder
from training.rlhf.models.checks.refusal import Refused
from training.rlhf.models.checks.tokenizer import (
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TokenizerFiles,
    tokenizer_in,
)
from training.rlhf.models.files import adapters


def refuse_other_vocabulary(policy: Mapping[str, int], judge: Mapping[str, int]) -> None:
    """Raise Refused if a token has different IDs in the policy's and the reward model's tokenizers, or is
    missing from one of them."""
    if policy == judge:
        return
    different = [token for token in {**policy, **judge} if policy.get(token) != judge.get(token)]
    first = min(different, key=lambda token: (policy.get(token, judge.get(token, 0)), token))
    raise Refused(
        f"the reward model and the policy have different vocabularies ({len(judge)} and {len(policy)} "
        f"tokens): {first!r} is {_id(judge, first)} in the reward model and {_id(policy, first)} in the "
        "policy. PPO passes the policy's tokens to the reward model. Train the reward model from this "
        "policy, or use rejection sampling or RLOO, which score text.",
        FailureKind.VOCABULARIES_DIFFER,
    )


def refuse_fewer_rows(known: int, *, policy_rows: int, judge_rows: int) -> None:
    """Raise Refused if the policy can sample a token for which the reward model has no embedding.

    ``known`` is the largest ID of the tokenizer and of the stop tokens, plus one. Embedding rows from this ID
    on do not matter, because these IDs are never sampled. For example, Qwen2.5-7B has 152,064 rows and
    Qwen2.5-1.5B has 151,936, but both have the same 151,665 tokens.
    """
    sampled = min(policy_rows, known)
    if 0 < judge_rows < sampled:
        raise Refused(
            f"the policy can generate the token IDs 0 to {sampled - 1}, but the reward model has only "
            f"{judge_rows} embedding rows. Train the reward model from this policy, or call "
            f"resize_token_embeddings({sampled}) on the reward model and save it again.",
            FailureKind.VOCABULARIES_DIFFER,
        )


def refuse_other_reading(policy: Reading, judge: Reading) -> None:
    """Raise Refused if the two models read one of `PROBES`, or the end of an answer, differently."""
    if policy.end != judge.end:
        raise _differ(
            f"the policy ends an answer with {policy.end!r}, but the reward model reads the score at "
            f"{judge.end!r}"
        )
    for number, name in enumerate(PROBES):
        ours, theirs = policy.ids[number], judge.ids[number]
        if name in OPTIONAL and (ours is None or theirs is None):
            continue
        if ours != theirs:
            raise _differ(
                f"the policy reads {name} as {_shown(policy, number)}, but the reward model reads it as "
                f"{_shown(judge, number)}"
            )


def check_pair(policy: Path, judge: Path, arguments: Mapping[str, Any] = NO_ARGUMENTS) -> None:
    """Raise Refused if the files of two models show that PPO can't score the policy's tokens with the reward
    model. `arguments` are the run's template arguments, with which both models encode the conversations."""
    if not _same_files(_tokenizer_folder(policy), _tokenizer_folder(judge)):
        _check_tokenizers(policy, judge, arguments)
    policy_rows, judge_rows = rows_in(policy), rows_in(judge)
    if judge_rows < policy_rows and (ours := _tokenizer_of(policy)) is not None:
        known = max(ours.tokens.values(), default=-1) + 1
        refuse_fewer_rows(known, policy_rows=policy_rows, judge_rows=judge_rows)


def _check_tokenizers(policy: Path, judge: Path, arguments: Mapping[str, Any]) -> None:
    ours, theirs = _tokenizer_of(policy), _tokenizer_of(judge)
    if ours is None or theirs is None:
        return
    refuse_other_vocabulary(ours.tokens, theirs.tokens)
    our_roles, their_roles = _written_roles(ours), _written_roles(theirs)
    if (ours.template, our_roles) == (theirs.template, their_roles):
        return
    # If only one model's files name a special token, the other model's tokenizer class can define the same
    # token by default. `loading.pairs` compares such tokenizers after loading.
    if our_roles.keys() != their_roles.keys():
        return
    given = {**ours.arguments, **arguments}
    readings = [reading_of_folder(_tokenizer_folder(folder), given) for folder in (policy, judge)]
    if readings[0] is not None and readings[1] is not None:
        refuse_other_reading(readings[0], readings[1])


def template_of(model: Path) -> str | None:
    """Return the model's chat template, an empty string for a model without one, or None if its tokenizer's
    files can't be read without transformers."""
    found = _tokenizer_of(model)
    return None if found is None else found.template


def same_vocabulary(policy: Path, judge: Path) -> bool:
    """Return whether both models have the same tokens, as far as their files show."""
    ours, theirs = _tokenizer_of(policy), _tokenizer_of(judge)
    return ours is not None and theirs is not None and ours.tokens == theirs.tokens


def _written_roles(files: TokenizerFiles) -> dict[str, str]:
    """The special tokens that a template can write: all except the pad token. The pad token of a reward model
    often differs from the policy's."""
    return {role: token for role, token in files.roles.items() if role != "pad_token"}


def _differ(reason: str) -> Refused:
    return Refused(
        f"The policy and the reward model have different chat templates: {reason}. PPO passes the policy's "
        "tokens to the reward model, which was trained on texts in its own template. Train the "
        "reward model from this policy, or use rejection sampling or RLOO, which score the text in the "
        "reward model's own template.",
        FailureKind.TEMPLATES_DIFFER,
    )


def _shown(reading: Reading, number: int) -> str:
    if reading.ids[number] is None:
        return "nothing (the template rejects it)"
    return repr(reading.texts[number])


def _id(tokens: Mapping[str, int], token: str) -> str:
    return f"ID {tokens[token]}" if token in tokens else "missing"


def _tokenizer_folder(folder: Path) -> Path:
    """The folder that contains the tokenizer. An adapter without a tokenizer uses its base model's
    tokenizer."""
    own = (folder / TOKENIZER_CONFIG).is_file()
    return folder if own or not adapters.is_adapter(folder) else Path(adapters.base_of(folder))


def _same_files(ours: Path, theirs: Path) -> bool:
    """Return whether the tokenizers are copies of each other. Comparing the files is faster than parsing two
    large tokenizers, which takes seconds."""
    names = (TOKENIZER, TOKENIZER_CONFIG, TEMPLATE)
    same, different, _ = filecmp.cmpfiles(ours, theirs, names, shallow=False)
    neither = [name for name in names if not (ours / name).exists() and not (theirs / name).exists()]
    return not different and len(same) + len(neither) == len(names)


def _tokenizer_of(folder: Path) -> TokenizerFiles | None:
    where = _tokenizer_folder(folder)
    return tokenizer_in(where) if (where / TOKENIZER).is_file() else None
