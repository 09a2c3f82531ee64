"""Rankings with a model's rewards, as arrays and as a file: the input of reports and comparisons.

Only NumPy and PyArrow are used. Reading a file needs neither the texts nor the model.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from training.rlhf.data.rankings import UNRANKED_TIER, Ranking, RankingFileError
from training.rlhf.report.answer_link import AnswerLink, VerdictProbabilities

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SCORED_NAME = "heldout.parquet"  # file in the model's folder with the scores of the held-out rankings
NOBODY = -1  # the tier of padded entries
NOT_KNOWN = -1  # round of a ranking from a file without rounds
# The number of SHA-256 hex digits in a key; 24 digits are 96 bits. A collision among a million responses has
# a probability below 1e-17.
KEY_CHARACTERS = 24


class Pairs(NamedTuple):
    """P pairs of responses. Both responses of a pair are from the same ranking, which states a preference
    between them or a tie. Each pair occurs once.

    All arrays have shape (P,). ``ranking`` is the index of the ranking that a pair comes from. ``first`` and
    ``second`` are the columns of the two responses. ``difference`` is r_first − r_second. ``verdict`` is 1 if
    the first response is preferred, −1 if the second is preferred, and 0 for a tie. ``strength`` is the level
    stated for the pair, or 0.
    """

    ranking: Ints
    first: Ints
    second: Ints
    difference: Floats
    verdict: NDArray[np.int8]
    strength: Ints

    def where(self, chosen: NDArray[np.bool_]) -> Pairs:
        ranking, first, second, difference, verdict, strength = self
        return Pairs(
            ranking[chosen],
            first[chosen],
            second[chosen],
            difference[chosen],
            verdict[chosen],
            strength[chosen],
        )

    @property
    def credit(self) -> Floats:
        """The credit of each of the P pairs: 1 if the rewards agree with the preference, 0 if they contradict
        the preference, and ½ if the rewards are equal."""
        return (1 + np.sign(self.difference) * self.verdict) / 2


@dataclass(frozen=True, slots=True)
class ScoredRankings:
    """N rankings of at most K responses, with a model's rewards.

    ``keys`` identify rankings by content, so that two models' scores can be matched. ``prompts`` and
    ``responses`` identify prompts and responses in the same way. ``rewards``, ``tiers`` and ``lengths`` have
    shape (N, K). Unused entries are NaN in ``rewards``, NOBODY in ``tiers`` and 0 in ``lengths``. Lengths are
    in characters, so they do not depend on a tokenizer. ``turns``: number of user turns. ``strengths``: 0 if
    not stated. ``link`` is the model's answer link.
    """

    keys: tuple[str, ...]
    prompts: tuple[str, ...]
    responses: tuple[tuple[str, ...], ...]
    rewards: Floats
    tiers: Ints
    lengths: Ints
    strengths: Ints
    annotators: tuple[str, ...]
    in_shown_order: NDArray[np.bool_]
    turns: Ints
    rounds: Ints
    sources: tuple[str, ...]
    votes: Ints
    link: AnswerLink

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, rankings: Sequence[Ranking], rewards: Sequence[Any], link: AnswerLink) -> ScoredRankings:
        """Combine rankings with ``rewards``. For each ranking, ``rewards`` contains one array or list of K
        rewards, in the order of the responses.

        Raises ValueError if a ranking has too few or too many rewards, or rewards that are not finite.
        """
        if len(rewards) != len(rankings):
            raise ValueError(f"there are {len(rankings)} rankings but rewards for {len(rewards)}")
        width = max((len(ranking.responses) for ranking in rankings), default=0)
        table = np.full((len(rankings), width), np.nan)
        tiers = np.full((len(rankings), width), NOBODY, dtype=np.int64)
        lengths = np.zeros((len(rankings), width), dtype=np.int64)
        for number, (ranking, given) in enumerate(zip(rankings, rewards, strict=True)):
            row = np.asarray(given, dtype=np.float64)
            name = ranking.ranking_id or f"ranking {number}"
            if row.shape != (len(ranking.responses),):
                raise ValueError(
                    f"{name} has {len(ranking.responses)} responses, but its rewards have shape {row.shape}"
                )
            if not np.isfinite(row).all():
                raise ValueError(f"{name} has rewards that are not finite: {row.tolist()}")
            table[number, : len(row)] = row
            tiers[number, : len(row)] = ranking.tier_of_each()
            lengths[number, : len(row)] = [len(text) for text in ranking.responses]
        seen: Counter[str] = Counter()
        keys = []
        for ranking in rankings:
            key = _key_of(ranking)
            seen[key] += 1
            keys.append(key if seen[key] == 1 else f"{key}-{seen[key]}")  # repeated keys get a suffix
        return cls(
            keys=tuple(keys),
            prompts=tuple(ranking.prompt_hash for ranking in rankings),
            responses=tuple(tuple(map(_digest, ranking.responses)) for ranking in rankings),
            rewards=table,
            tiers=tiers,
            lengths=lengths,
            strengths=np.array([max(ranking.strength or 0, 0) for ranking in rankings], dtype=np.int64),
            annotators=tuple(ranking.annotator for ranking in rankings),
            in_shown_order=np.array([ranking.in_shown_order for ranking in rankings], dtype=np.bool_),
            turns=np.array([_turns(ranking) for ranking in rankings], dtype=np.int64),
            rounds=np.array(
                [NOT_KNOWN if ranking.round is None else ranking.round for ranking in rankings],
                dtype=np.int64,
            ),
            sources=tuple(ranking.source for ranking in rankings),
            votes=np.array([ranking.votes for ranking in rankings], dtype=np.int64),
            link=link,
        )

    def at(self, places: Sequence[int]) -> ScoredRankings:
        """Return the rankings at the given indices, in the given order."""
        index = np.asarray(places, dtype=np.int64)
        chosen: dict[str, Any] = {
            field.name: column[index]
            if isinstance(column := getattr(self, field.name), np.ndarray)
            else tuple(column[place] for place in places)
            for field in fields(self)
            if field.name != "link"
        }
        return ScoredRankings(**chosen, link=self.link)

    def pairs(self) -> Pairs:
        """Return all pairs with a stated preference or tie. Pairs of two unranked responses are left out."""
        first, second = np.triu_indices(self.rewards.shape[1], 1)
        a, b = self.tiers[:, first], self.tiers[:, second]
        ranking, column = np.nonzero((a != NOBODY) & (b != NOBODY) & ((a != b) | (a != UNRANKED_TIER)))
        i, j = first[column], second[column]
        verdict = np.sign(self.tiers[ranking, j] - self.tiers[ranking, i]).astype(np.int8)
        # A stated strength applies only to pairs between the best tier and the next tier
        # (`losses.stated_pairs`).
        below = np.where(self.tiers > 0, self.tiers, UNRANKED_TIER + 1).min(axis=1, initial=UNRANKED_TIER + 1)
        low = np.minimum(self.tiers[ranking, i], self.tiers[ranking, j])
        high = np.maximum(self.tiers[ranking, i], self.tiers[ranking, j])
        stated = (low == 0) & (high == below[ranking])
        return Pairs(
            ranking.astype(np.int64),
            i.astype(np.int64),
            j.astype(np.int64),
            self.rewards[ranking, i] - self.rewards[ranking, j],
            verdict,
            np.where(stated, self.strengths[ranking], 0),
        )

    def shown_difference(self, pairs: Pairs) -> Floats:
        """Return the reward differences, with shape (P,), including position effects if the display order is
        known."""
        moved = self.link.offset_of(pairs.first) - self.link.offset_of(pairs.second)
        return pairs.difference + np.where(self.in_shown_order[pairs.ranking], moved, 0.0)

    def probabilities(self, pairs: Pairs) -> VerdictProbabilities:
        """Return the model's probability of each verdict, given the reliability of the annotator."""
        return self.link.probabilities(self.shown_difference(pairs), self.reliability(pairs))

    def reliability(self, pairs: Pairs) -> Floats:
        """Return the reliability of each verdict's annotator, with shape (P,)."""
        return self.link.reliability_of(self.annotators)[pairs.ranking]

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file with one row per ranking and the answer link in the metadata."""
        real = self.tiers != NOBODY
        columns: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            if field.name in ("rewards", "tiers", "lengths"):
                columns[field.name] = [row[kept].tolist() for row, kept in zip(column, real, strict=True)]
            elif field.name != "link":
                columns[field.name] = pa.array(
                    column.tolist() if isinstance(column, np.ndarray) else list(column), _TYPES[field.name]
                )
        for name in ("rewards", "tiers", "lengths"):
            columns[name] = pa.array(columns[name], _TYPES[name])
        link = json.dumps(asdict(self.link), sort_keys=True)
        table = pa.table(columns).replace_schema_metadata({"rankloop.link": link})
        target = Path(path)
        parquet.write_table(table, target, compression="zstd")
        return target

    @classmethod
    def load(cls, path: str | Path) -> ScoredRankings:
        """Read a file written by `save`. Raises RankingFileError for any other file."""
        file = Path(path)
        try:
            table = parquet.read_table(file)
            said = json.loads((table.schema.metadata or {})[b"rankloop.link"])
            columns = {name: table.column(name).to_pylist() for name in _TYPES}
        except (OSError, ValueError, KeyError) as error:
            raise RankingFileError(f"{file} contains no scored rankings: {error}") from error
        said["strength_thresholds"] = tuple((level, at) for level, at in said["strength_thresholds"])
        said["position_offsets"] = tuple(said["position_offsets"])
        width = max(map(len, columns["tiers"]), default=0)
        return cls(
            keys=tuple(columns["keys"]),
            prompts=tuple(columns["prompts"]),
            responses=tuple(map(tuple, columns["responses"])),
            rewards=_padded(columns["rewards"], width, np.nan),
            tiers=_padded(columns["tiers"], width, NOBODY).astype(np.int64),
            lengths=_padded(columns["lengths"], width, 0).astype(np.int64),
            strengths=np.array(columns["strengths"], dtype=np.int64),
            annotators=tuple(columns["annotators"]),
            in_shown_order=np.array(columns["in_shown_order"], dtype=np.bool_),
            turns=np.array(columns["turns"], dtype=np.int64),
            rounds=np.array(columns["rounds"], dtype=np.int64),
            sources=tuple(columns["sources"]),
            votes=np.array(columns["votes"], dtype=np.int64),
            link=AnswerLink(**said),
        )


_TYPES = {
    "keys": pa.string(),
    "prompts": pa.string(),
    "responses": pa.list_(pa.string()),
    "rewards": pa.list_(pa.float64()),
    "tiers": pa.list_(pa.int64()),
    "lengths": pa.list_(pa.int64()),
    "strengths": pa.int64(),
    "annotators": pa.string(),
    "in_shown_order": pa.bool_(),
    "turns": pa.int64(),
    "rounds": pa.int64(),
    "sources": pa.string(),
    "votes": pa.int64(),
}


def _padded(rows: Sequence[Sequence[float]], width: int, fill: float) -> Floats:
    table = np.full((len(rows), width), fill, dtype=np.float64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def _digest(text: str) -> str:
    # Lone surrogates, which are valid in JSON, cannot be encoded as strict UTF-8.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_CHARACTERS]


def _key_of(ranking: Ranking) -> str:
    """Return a digest of the ranking's content: prompt, responses, tiers, strength and annotator."""
    said = [
        ranking.prompt_hash,
        ranking.responses,
        ranking.tier_of_each(),
        ranking.strength,
        ranking.annotator,
    ]
    return _digest(json.dumps(said))


def _turns(ranking: Ranking) -> int:
    return sum(message["role"] == "user" for message in ranking.messages)
