"""What an export format is: a function from a snapshot to the bytes of a file, made as it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preferences.formats.snapshot_parquet import read_rankings
from preferences.pairs import Pair, comparisons_of

Row = Mapping[str, Any]
Options = Mapping[str, Any]
JSONL = "application/jsonl"
CHUNK_BYTES = 256 * 1024


class ExportRefused(Exception):
    """The snapshot has nothing that this format could say, or an option is wrong; the text says why and what
    to do. `option` names the option at fault, if it is one."""

    def __init__(self, reason: str, option: str = "") -> None:
        super().__init__(reason)
        self.option = option


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot as its writers see it: the Parquet file, and the card that counts it."""

    path: Path
    card: Mapping[str, Any]
    split: str = ""

    def rows(self, *columns: str) -> Iterator[Row]:
        """Rows with these columns only (see snapshot_parquet.SCHEMA): what isn't asked for isn't decoded. Of
        one split, where it is for one."""
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
    name: str
    meaning: str
    parse: Callable[[str], Any] = str


def _split(text: str) -> str:
    if text not in SPLITS:
        raise ValueError(text)
    return text


SPLITS = ("train", "heldout")
SPLIT = Option("split", f"only the rankings of one split: {' or '.join(SPLITS)}", _split)


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """`write` is called once `check` (card, options) has not raised :class:`ExportRefused`.

    `loses` says what of a ranking the format has no words for; docs/formats.md is made of these texts.
    `loader` is what `datasets.load_dataset` calls such a file, `trainer` TRL's that learns from it; or empty.
    """

    name: str
    title: str
    use: str
    loses: str
    example: str
    suffix: str
    media_type: str
    write: Callable[[SnapshotFile, Options], Iterator[bytes]]
    check: Callable[[Mapping[str, Any], Options], None] = lambda card, options: None
    options: tuple[Option, ...] = (SPLIT,)
    imports_as: str = ""
    loader: str = "json"
    trainer: str = ""

    def loads_with(self, file: str) -> str:
        """The line of Python that has the file as a dataset; empty where `datasets` loads no such file."""
        if not self.loader:
            return ""
        return f'datasets.load_dataset("{self.loader}", data_files="{file}", split="train")'

    def trains_with(self, file: str) -> str:
        """The line of TRL that learns from the file; empty where no trainer takes it as it is."""
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


# A lone surrogate can't come from Postgres, but a Parquet file is only a file.
_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False).encode


def encoded(value: object) -> bytes:
    return _json(value).encode(errors="backslashreplace")


def pairs_of(row: Row) -> list[Pair[int]]:
    """The pairs of a row as indices into its responses, ties included."""
    return comparisons_of(row["tiers"], row["strength"], row["unranked"])


def is_best_known(row: Row) -> bool:
    """Whether some responses were put above others; only then is the first tier the best of something."""
    return len(row["tiers"]) > 1 or bool(row["tiers"] and row["unranked"])


def answer(text: str) -> list[dict[str, str]]:
    """A response as TRL writes one: a conversation of one assistant turn."""
    return [{"role": "assistant", "content": text}]


def needs_answers(card: Mapping[str, Any], options: Options) -> None:
    """For demonstrations: some response above another, or a rewrite."""
    if not card.get("rewrites"):
        needs_rankings(card, options)


def needs_rankings(card: Mapping[str, Any], options: Options) -> None:
    """For formats of pairs: a snapshot of ties or not rankable answers alone would make an empty file."""
    if card["comparisons"] <= card["ties"]:
        raise ExportRefused(
            "No ranking of the snapshot puts one response above another; the file would be empty."
        )
