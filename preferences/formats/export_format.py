"""An export format converts a snapshot to a file, whose bytes are generated while the file is being read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preferences.formats.losses import Part, sentence_of
from preferences.formats.snapshot_parquet import read_rankings
from preferences.pairs import Pair, comparisons_of

Row = Mapping[str, Any]
Options = Mapping[str, Any]
JSONL = "application/jsonl"
CHUNK_BYTES = 256 * 1024


class ExportRefused(Exception):
    """Raised if the snapshot contains nothing that the format can express, or if an option is invalid. The
    message states the reason and the remedy. `option` names the invalid option, if any."""

    def __init__(self, reason: str, option: str = "") -> None:
        super().__init__(reason)
        self.option = option


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A writer's input: the snapshot's Parquet file, and the dataset card with the snapshot's counts."""

    path: Path
    card: Mapping[str, Any]
    split: str = ""

    def rows(self, *columns: str) -> Iterator[Row]:
        """Yield rows with only the given `columns` of snapshot_parquet.SCHEMA (default: all). Other columns
        are not decoded. If `split` is set, yield only the rows of that split."""
        if not self.split:
            return read_rankings(self.path, columns or None)
        rows = read_rankings(self.path, dict.fromkeys((*columns, "split")) if columns else None)
        return (row for row in rows if row["split"] == self.split)

    def raw(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True, slots=True)
class Option:
    """An export option. `choices` lists the valid values; if it is empty, `is_number` states whether the
    value must be a finite number."""

    name: str
    meaning: str
    choices: tuple[str, ...] = ()
    is_number: bool = False

    def parse(self, text: str) -> Any:
        """Return the option's value from its text. Raises ValueError if the text is invalid."""
        if self.is_number:
            value = float(text)
            if not math.isfinite(value):
                raise ValueError(text)
            return value
        if self.choices and text not in self.choices:
            raise ValueError(text)
        return text


SPLITS = ("train", "heldout")
SPLIT = Option("split", f"the split to export ({' or '.join(SPLITS)}); by default both splits", SPLITS)


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """An export format. `check` is called with (card, options) before `write` and can raise
    :class:`ExportRefused`.

    `loses` is the set of parts that are lost when an export is read again; a test verifies the set. `notes`
    explains what happens to these parts. docs/formats.md is generated from `loses` and `notes`. `loader` is
    the builder that `datasets.load_dataset` uses for the file. `trainer` is the TRL trainer that accepts the
    file. `loader` and `trainer` can be empty.
    """

    name: str
    title: str
    use: str
    loses: frozenset[Part]
    example: str
    suffix: str
    media_type: str
    write: Callable[[SnapshotFile, Options], Iterator[bytes]]
    notes: str = ""
    check: Callable[[Mapping[str, Any], Options], None] = lambda card, options: None
    options: tuple[Option, ...] = (SPLIT,)
    imports_as: str = ""
    loader: str = "json"
    trainer: str = ""

    @property
    def losses(self) -> str:
        """What the format loses, as text for the documentation."""
        return f"{sentence_of(self.loses)} {self.notes}".rstrip()

    def loads_with(self, file: str) -> str:
        """A line of Python that loads the file as a dataset; empty if `datasets` can't load it."""
        if not self.loader:
            return ""
        return f'datasets.load_dataset("{self.loader}", data_files="{file}", split="train")'

    def trains_with(self, file: str) -> str:
        """A line of Python that trains on the file with TRL; empty if no trainer accepts the file
        unchanged."""
        if not self.trainer:
            return ""
        data = self.loads_with(file)
        return (
            f"trl.{self.trainer}(model=model, args=args, processing_class=tokenizer,"
            f" train_dataset={data}).train()"
        )


def json_lines(rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield encoded(row) + b"\n"


# Postgres can't store a lone surrogate, but a damaged Parquet file can contain one. `encoded` escapes it.
_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False).encode


def encoded(value: object) -> bytes:
    return _json(value).encode(errors="backslashreplace")


def pairs_of(row: Row) -> list[Pair[int]]:
    """The pairs of a row, including ties, as indices into its responses."""
    return comparisons_of(row["tiers"], row["strength"], row["unranked"])


def has_order(row: Row) -> bool:
    """Whether a ranking has tiers or states why it has none."""
    return bool(row["tiers"]) or row["not_rankable"] or row["all_bad"]


def answer(text: str) -> list[dict[str, str]]:
    """A response in the TRL format: a conversation with one assistant turn."""
    return [{"role": "assistant", "content": text}]


def needs_answers(card: Mapping[str, Any], options: Options) -> None:
    """The `check` of demonstration formats: the snapshot must contain a rewrite, or a ranking that puts one
    response above another."""
    if not card.get("rewrites"):
        needs_rankings(card, options)


def needs_rankings(card: Mapping[str, Any], options: Options) -> None:
    """The `check` of pair formats: a snapshot that contains only ties or not-rankable answers would produce
    an empty file."""
    if card["comparisons"] <= card["ties"]:
        raise ExportRefused(
            "No ranking in the snapshot puts one response above another, so the file would be empty."
        )
