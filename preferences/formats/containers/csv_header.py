"""Recognise a CSV file by its header, and detect its delimiter and its line endings."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")
CARRIAGE_RETURN = "\r"
# Some programs write this line before the header. It specifies the file's delimiter for Excel.
SEPARATOR_LINE = re.compile(r'"?sep=([,;|:^~\t])"?[ ,;\t]*', re.IGNORECASE)
LINE_END = re.compile(r"\r\n|\n|\r")
EMPTY_LINES = re.compile(r"\A(?:[,;|\t]*[\r\n])+")
QUOTED = re.compile(r'"[^"]*"')
NAME = re.compile(r"[\w .:\-/()?#\[\]]{1,80}")
WORD = re.compile(r"[A-ZÀ-Þ]?[a-zß-ÿ]+|[A-ZÀ-Þ]+(?![a-zß-ÿ])|\d+")
MAX_NAME_WORDS = 5
# English and German words in the names of columns that contain a prompt, a response or a vote.
WORDS = frozenset(
    {
        "answer",
        "antwort",
        "article",
        "aufgabe",
        "ausgabe",
        "best",
        "better",
        "candidate",
        "choice",
        "chosen",
        "completion",
        "context",
        "conversation",
        "dialog",
        "dialogue",
        "eingabe",
        "frage",
        "generation",
        "gewinner",
        "input",
        "instruction",
        "label",
        "loser",
        "message",
        "output",
        "post",
        "preference",
        "preferred",
        "problem",
        "prompt",
        "query",
        "question",
        "rank",
        "ranking",
        "rejected",
        "reply",
        "request",
        "response",
        "score",
        "summary",
        "task",
        "tiers",
        "user",
        "vote",
        "winner",
    }
)
# If a file has only one column, that column must contain the prompts, so it must have one of these names.
ONLY_COLUMN = frozenset({"prompt", "messages", "question", "query", "instruction", "conversation"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """`mac`: a carriage return alone ends a line."""

    delimiter: str = ","
    mac: bool = False


def dialect_of(head: str) -> Dialect | None:
    """The dialect of a CSV file that begins with `head`. None if `head` is not a CSV header that names a
    column for prompts, responses or votes. The comma is tried first."""
    head = EMPTY_LINES.sub("", head, count=1)
    end = LINE_END.search(QUOTED.sub("", head))
    mac = end is not None and end[0] == CARRIAGE_RETURN
    line = re.split(r"[\r\n]", head, maxsplit=1)[0]
    if separator := SEPARATOR_LINE.fullmatch(line):
        delimiters: tuple[str, ...] = (separator[1],)
        head = head[len(line) :].lstrip("\r\n")
    else:
        delimiters = DELIMITERS
    return next((Dialect(mark, mac) for mark in delimiters if _names_columns(head, mark)), None)


def _names_columns(head: str, delimiter: str) -> bool:
    try:
        header = next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return False
    names = [name.strip() for name in header]
    if len(names) < 2:
        return not ONLY_COLUMN.isdisjoint(names)
    return any(map(_is_known, names))


def _is_known(name: str) -> bool:
    if not NAME.fullmatch(name):
        return False
    words = [word.lower() for word in WORD.findall(name)]
    singular = {"summary" if word == "summaries" else word.removesuffix("s") for word in words}
    return len(words) <= MAX_NAME_WORDS and not WORDS.isdisjoint({*words, *singular})
