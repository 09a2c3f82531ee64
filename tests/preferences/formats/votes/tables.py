"""Helpers that read a table and return the order in each row, or the reason why the file is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from preferences.formats.recognition import read_records
from preferences.records import FormatError, RankingRecord, Record

Rows = list[dict[str, Any]]
PAIR = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog"}
CAT, DOG, TIE = [["Cat"], ["Dog"]], [["Dog"], ["Cat"]], [["Cat", "Dog"]]


def records_of(rows: Rows) -> list[Record]:
    """The records of a JSON Lines file. Fails if a row can't be read."""
    data = "\n".join(map(json.dumps, rows)).encode()
    return read(io.BytesIO(data))[1]


def read(stream: Any) -> tuple[str, list[Record]]:
    found, lines = read_records(stream)
    records: list[Record] = []
    for line in lines:
        assert line.reason == ""
        records += [record for record in line.records if isinstance(record, Record)]
    return found.name, records


def case_of(path: Path) -> tuple[str, list[Record]]:
    with path.open("rb") as stream:
        return read(stream)


def order(record: Record) -> list[list[str]]:
    (ranking,) = record.rankings
    return [[record.responses[index].text for index in tier] for tier in ranking.tiers]


def orders(*rows: dict[str, Any]) -> list[list[list[str]]]:
    return [order(record) for record in records_of(list(rows))]


def ranking_of(*rows: dict[str, Any]) -> RankingRecord:
    (ranking,) = records_of(list(rows))[0].rankings
    return ranking


def refusal(*rows: dict[str, Any]) -> str:
    with pytest.raises(FormatError) as error:
        records_of(list(rows))
    return str(error.value)
