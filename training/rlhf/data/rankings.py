"""Rankings as the training loops use them, with train/held-out splits and counts. The `files` module reads
rankings.

A ranking whose responses are all tied is kept, because a loss that models ties learns from such rankings. A
loss that ignores ties leaves these rankings out. The training result (`RewardModelResult`) reports the number
of rankings left out for this reason.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preferences.text import storage_fault

# The tier number of unranked responses, which are below all other tiers but not tied with each other.
UNRANKED_TIER = 10_000


@dataclass(frozen=True, slots=True)
class Ranking:
    """One annotator's order of the responses to one prompt, or a consensus of several annotators.

    ``tiers`` contains indices into ``responses``, best tier first. A tier of two or more responses is a tie.
    Every response is in exactly one tier. With ``rest_unranked``, the last tier contains the responses that a
    top-k ranking left unranked. Unranked responses are below all ranked responses. Unranked responses are not
    tied with each other, because the annotator did not judge them equally good.

    ``strength`` is on the project's scale (None: not collected). ``annotator`` is a pseudonym. ``weight`` is
    the ranking's weight in training. ``in_shown_order`` is true if the responses are known to be in the order
    in which the annotator saw them. ``round`` (None: unknown), ``source`` and ``votes`` come from the file.
    ``votes`` is the number of rankings behind a consensus. Training ignores these three fields; reports use
    them to group results.

    ``all_bad`` is true if the annotator marked all responses as bad. The order of the responses is still a
    preference, but none of the responses is worth imitating.
    """

    messages: tuple[Mapping[str, str], ...]
    responses: tuple[str, ...]
    tiers: tuple[tuple[int, ...], ...]
    strength: int | None = None
    annotator: str = ""
    weight: float = 1.0
    split: str = "train"
    prompt_hash: str = ""
    ranking_id: str = ""
    rest_unranked: bool = False
    in_shown_order: bool = False
    round: int | None = None
    source: str = ""
    votes: int = 1
    all_bad: bool = False

    def __post_init__(self) -> None:
        _check_messages(self.messages)
        _check_characters(*(message["content"] for message in self.messages), *self.responses)
        indices = sorted(index for tier in self.tiers for index in tier)
        if any(not tier for tier in self.tiers):
            raise ValueError("the tiers contain an empty tier")
        if indices != list(range(len(self.responses))):
            wanted = f"each index from 0 to {len(self.responses) - 1} must be in exactly one tier"
            raise ValueError(f"the tiers contain the response indices {indices}, but {wanted}")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"weight is {self.weight}; it must be a finite number above 0")
        if not self.prompt_hash:
            object.__setattr__(self, "prompt_hash", hash_messages(self.messages))

    @property
    def all_tied(self) -> bool:
        return len(self.tiers) < 2

    def tier_of_each(self) -> list[int]:
        """Return the tier number of each response, in the order of ``responses`` (0 is the best tier).
        Unranked responses get UNRANKED_TIER, the only special value that the pairwise losses and
        Plackett–Luce must handle."""
        numbers = [0] * len(self.responses)
        for number, tier in enumerate(self.tiers):
            if self.rest_unranked and number == len(self.tiers) - 1:
                number = UNRANKED_TIER
            for index in tier:
                numbers[index] = number
        return numbers


class RankingFileError(ValueError):
    """Raised if a rankings file can't be read or contains broken rows; the message names the rows."""


class Rankings(list[Ranking]):
    """Rankings, and the counts of omitted rows by reason."""

    def __init__(self, rankings: Iterable[Ranking] = (), left_out: Mapping[str, int] | None = None) -> None:
        super().__init__(rankings)
        self.left_out: dict[str, int] = dict(left_out or {})


def split_by_prompt(
    rankings: Sequence[Ranking], *, heldout_fraction: float
) -> tuple[list[Ranking], list[Ranking]]:
    """Split rankings into (train, held-out) by the hash of the prompt.

    No prompt is in both parts, and the split does not depend on the order of the rankings. Prompts that
    differ only in whitespace are treated as one prompt. Rows with ``split == "heldout"`` are always held out.
    If the file contains such rows, no other prompts are held out, so that the project's own split is kept.
    """
    heldout = [ranking for ranking in rankings if ranking.split == "heldout"]
    if not heldout and heldout_fraction > 0:
        heldout = [r for r in rankings if is_held_out(r.prompt_hash, heldout_fraction)]
    if not heldout:
        return list(rankings), []
    hashes = {ranking.prompt_hash for ranking in heldout}
    words = [words_of(ranking.messages) for ranking in rankings]
    found = 0
    while found < len(hashes):  # a file can assign the same hash to prompts with different wording
        found = len(hashes)
        of_heldout = {w for r, w in zip(rankings, words, strict=True) if r.prompt_hash in hashes}
        hashes |= {r.prompt_hash for r, w in zip(rankings, words, strict=True) if w in of_heldout}
    return [r for r in rankings if r.prompt_hash not in hashes], [
        r for r in rankings if r.prompt_hash in hashes
    ]


def is_held_out(prompt: str, fraction: float) -> bool:
    """Return whether a prompt is among the held-out fraction of all prompts. The result depends only on the
    hash of ``prompt``, which identifies the prompt."""
    return int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) < int(fraction * 2**32)


def words_of(messages: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the roles and contents of a conversation, with normalised whitespace. Conversations that differ
    only in whitespace have equal results."""
    return tuple((message["role"], " ".join(message["content"].split())) for message in messages)


def count_repeats(rankings: Sequence[Ranking]) -> dict[str, int]:
    """Return the number of ``duplicates`` and of ``contradicted_pairs``. Duplicates and contradicted pairs
    stay in the data.

    A duplicate repeats an earlier ranking by the same annotator, with the same prompt, responses, order and
    strength. In a file without annotators, a duplicate can repeat any earlier ranking. A pair of responses to
    one prompt is contradicted if some rankings prefer the first response and others the second. These
    rankings can come from the same annotator or from different annotators.
    """
    of_prompt: dict[str, list[Ranking]] = {}
    for ranking in rankings:
        of_prompt.setdefault(ranking.prompt_hash, []).append(ranking)
    duplicates = contradicted = 0
    # Prompts are processed one at a time. All pairs of a large file would take more memory than the texts.
    for alike in of_prompt.values():
        orders = [sorted(zip(r.responses, r.tier_of_each(), strict=True)) for r in alike]
        said = {(r.annotator, r.strength, *order) for r, order in zip(alike, orders, strict=True)}
        duplicates += len(alike) - len(said)
        preferred = {
            (better, worse)
            for order in orders
            for better, above in order
            for worse, below in order
            if above < below and better != worse
        }
        contradicted += sum((worse, better) in preferred for better, worse in preferred) // 2
    return {"duplicates": duplicates, "contradicted_pairs": contradicted}


def count_shared_prompts(learn: Sequence[Ranking], heldout: Sequence[Ranking]) -> int:
    """Return the number of prompts that an external split has put into both the training and the held-out
    rankings. Differences in whitespace are ignored."""
    return len({words_of(r.messages) for r in learn} & {words_of(r.messages) for r in heldout})


def hash_messages(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the SHA-256 of a conversation's roles and contents as canonical JSON. Equal conversations have
    equal hashes."""
    plain = [[message["role"], message["content"]] for message in messages]
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _check_messages(messages: Sequence[Any]) -> None:
    if not messages:
        raise ValueError("messages is empty")
    for message in messages:
        if not isinstance(message, Mapping) or not all(
            isinstance(message.get(k), str) for k in ("role", "content")
        ):
            raise ValueError("each message must be an object with a role and a content, both strings")


def _check_characters(*texts: str) -> None:
    for text in texts:
        if fault := storage_fault(text):
            raise ValueError(f"the prompt or a response {fault}")
