"""The answers in a ranking that are good enough for a model to imitate. The `trl_sft` export and fine-tuning
use the same rules, so a downloaded file contains the answers that training reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Row = Mapping[str, Any]  # a snapshot's row
Source = Literal["rewrite", "best"]

# The columns of a snapshot that `good_answers` reads.
COLUMNS = ("responses", "tiers", "unranked", "all_bad", "flags", "rewrite")


def good_answers(row: Row) -> Iterator[tuple[str, Source]]:
    """Yield the row's answers as (text, source). A rewrite, if there is one, is the only answer. Otherwise,
    the answers are the row's best responses."""
    if rewrite := rewrite_of(row):
        yield rewrite, "rewrite"
    else:
        yield from ((text, "best") for text in best_responses(row))


def rewrite_of(row: Row) -> str:
    """Return the annotator's own answer, or an empty string if there is none."""
    return str(row["rewrite"]) if row["rewrite"] and row["rewrite"].strip() else ""


def best_responses(row: Row) -> Iterator[str]:
    """Yield the first-tier responses that rank above another response, are not empty and have no flag.

    If the annotator marked all responses as bad, none of them is a good answer, even if the annotator also
    ordered them.
    """
    if row["all_bad"] or not is_best_known(row):
        return
    flags = json.loads(row["flags"])
    for index in row["tiers"][0]:
        response = row["responses"][index]
        if response["text"].strip() and not flags.get(response["id"]):
            yield response["text"]


def is_best_known(row: Row) -> bool:
    """Whether some responses rank above others. Without such an order, the responses in the first tier are
    not better than any other response."""
    return len(row["tiers"]) > 1 or bool(row["tiers"] and row["unranked"])
