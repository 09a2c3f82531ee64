"""Snapshots: rankings frozen into a hashed Parquet file, which is what users download and training reads."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from annotation.formats.snapshot_parquet import COLUMN_MEANINGS, write_rankings
from annotation.ids import uuid7
from annotation.models import DatasetSnapshot, Project, Response, User
from annotation.models.ranking import RankingQuerySet
from annotation.pairs import comparisons_of
from annotation.services.selection import Selection
from config.problems import Conflict, FieldProblem, Problem

PARQUET_NAME = "rankings.parquet"
CARD_NAME = "card.json"
README_NAME = "README.md"
UNFINISHED = ".freezing-"
CHUNK_ROWS = 500
MAX_NAME_CHARACTERS = 100
PSEUDONYM_CHARACTERS = 12
# Columns of the file that are columns of the ranking, as they are; and what else a row is made from.
COPIED_COLUMNS = (
    "strength",
    "source",
    "not_rankable",
    "comment",
    "rewrite",
    "touched",
    "duration_ms",
    "created_at",
)
READ_COLUMNS = (
    *COPIED_COLUMNS,
    "id",
    "task_id",
    "shown_order",
    "tiers",
    "annotator_id",
    "annotator_label",
    "ratings",
    "flags",
    "task__round",
    "task__prompt_id",
    "task__prompt__content_hash",
    "task__prompt__split",
    "task__prompt__messages",
)


def snapshot_path(snapshot: DatasetSnapshot) -> Path:
    """The Parquet file. Raises Problem when it is gone: a snapshot is its file."""
    path = Path(settings.ARTEFACTS) / snapshot.path
    if not path.is_file():
        raise Problem(
            f"The file of snapshot {snapshot.name} is gone ({snapshot.path} in the artefacts folder);"
            " restore it from a backup or freeze a new snapshot.",
            type="snapshot-file-missing",
            status=500,
        )
    return path


def freeze_snapshot(
    *,
    project: Project,
    name: str,
    selection: Mapping[str, Any] | None = None,
    created_by: User | None = None,
) -> DatasetSnapshot:
    """Freezes the selected rankings as they stand. The file and its row come to be together or not at all.

    Equal rankings give equal bytes, so equal checksums. Raises Conflict when the name is taken, Problem when
    the selection can't be read or selects nothing.
    """
    chosen = Selection.from_json(selection or {})
    _check_name(name)
    id = uuid7()
    folder = Path(settings.ARTEFACTS) / "snapshots" / project.slug
    folder.mkdir(parents=True, exist_ok=True)
    unfinished, finished = folder / f"{UNFINISHED}{id}", folder / str(id)
    try:
        with transaction.atomic():
            _one_at_a_time(project, folder)
            if DatasetSnapshot.objects.filter(project=project, name=name).exists():
                raise _taken(project, name)
            unfinished.mkdir()
            tally = _Tally()
            rows = tally.counted(_rows(project, chosen.rankings_of(project)))
            if not write_rankings(unfinished / PARQUET_NAME, rows):
                raise Problem("The selection holds no ranking, so there is nothing to freeze.", type="empty")
            sha256 = file_sha256(unfinished / PARQUET_NAME)
            card = _card(project, name, chosen, tally, sha256)
            (unfinished / CARD_NAME).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
            (unfinished / README_NAME).write_text(_readme(card))
            snapshot = DatasetSnapshot.objects.create(
                id=id,
                project=project,
                name=name,
                sha256=sha256,
                path=str((finished / PARQUET_NAME).relative_to(settings.ARTEFACTS)),
                rows=tally.rankings,
                comparisons=tally.comparisons,
                selection=chosen.to_json(),
                card=card,
                created_by=created_by,
            )
            # Last before the commit: a row without its file would be worse than a file without its row.
            unfinished.rename(finished)
    except BaseException:
        shutil.rmtree(finished, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return snapshot


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pseudonym(project: Project, *, annotator_id: UUID | None, label: str) -> str:
    """A name for an annotator that is the same in every snapshot of the project and says nothing about them.

    Keyed with SECRET_KEY: imported labels are short, and a plain hash of them could be guessed back.
    """
    if annotator_id is None and not label:
        return ""
    who = f"user:{annotator_id}" if annotator_id else f"label:{label}"
    digest = salted_hmac("rankloop.annotator", f"{project.pk}:{who}", algorithm="sha256").hexdigest()
    return f"annotator-{digest[:PSEUDONYM_CHARACTERS]}"


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        reason = f"It is 1 to {MAX_NAME_CHARACTERS} printable characters."
        raise Problem("A snapshot needs another name.", errors=[FieldProblem("name", reason)])


def _taken(project: Project, name: str) -> Conflict:
    return Conflict(
        f"{project.slug} has a snapshot {name} already; snapshots never change, so choose another name.",
        type="snapshot-exists",
        errors=[FieldProblem("name", "There is a snapshot of this name.")],
    )


def _one_at_a_time(project: Project, folder: Path) -> None:
    """Waits for another freeze of the project; then what is still unfinished is left from a killed one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"snapshots:{project.pk}"])
    for leftover in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _rows(project: Project, rankings: RankingQuerySet) -> Iterator[dict[str, Any]]:
    """Snapshot rows sorted by ranking id, read through a server-side cursor: memory stays flat."""
    # As plain values: model instances took a third of a freeze's time.
    found = rankings.order_by("id").values(*READ_COLUMNS).iterator(chunk_size=CHUNK_ROWS)
    while chunk := list(itertools.islice(found, CHUNK_ROWS)):
        shown = {id for row in chunk for id in row["shown_order"]}
        responses = {
            id: {"id": str(id), "text": text, "model": model}
            for id, text, model in Response.objects.filter(pk__in=shown).values_list(
                "id", "text", "model_name"
            )
        }
        for row in chunk:
            place = {str(id): index for index, id in enumerate(row["shown_order"])}
            yield {
                **{name: row[name] for name in COPIED_COLUMNS},
                "ranking_id": str(row["id"]),
                "task_id": str(row["task_id"]),
                "prompt_id": str(row["task__prompt_id"]),
                "prompt_hash": row["task__prompt__content_hash"],
                "split": row["task__prompt__split"],
                "messages": row["task__prompt__messages"],
                "responses": [responses[id] for id in row["shown_order"]],
                "tiers": [sorted(place[id] for id in tier) for tier in row["tiers"]],
                "annotator": pseudonym(
                    project, annotator_id=row["annotator_id"], label=row["annotator_label"]
                ),
                "round": row["task__round"],
                "ratings": json.dumps(row["ratings"], sort_keys=True, ensure_ascii=False),
                "flags": json.dumps(row["flags"], sort_keys=True, ensure_ascii=False),
                "weight": 1.0,
            }


@dataclass
class _Tally:
    """What a snapshot holds, counted while its rows go by."""

    rankings: int = 0
    comparisons: int = 0
    ties: int = 0
    not_rankable: int = 0
    with_strength: int = 0
    prompts: set[int] = field(default_factory=set)  # hashes of ids: half the memory of a million texts
    annotators: set[str] = field(default_factory=set)
    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    rounds: Counter[int] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)

    def counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            pairs = comparisons_of(row["tiers"])
            self.rankings += 1
            self.comparisons += len(pairs)
            self.ties += sum(pair.is_tie for pair in pairs)
            self.not_rankable += row["not_rankable"]
            self.with_strength += row["strength"] is not None
            self.prompts.add(hash(row["prompt_id"]))
            self.annotators.add(row["annotator"])
            self.splits[row["split"]] += 1
            self.sources[row["source"]] += 1
            self.rounds[row["round"]] += 1
            self.sizes[len(row["responses"])] += 1
            self.models.update(response["model"] for response in row["responses"])
            yield row


def _card(project: Project, name: str, selection: Selection, tally: _Tally, sha256: str) -> dict[str, Any]:
    return {
        "name": name,
        "project": project.slug,
        "frozen_at": timezone.now().isoformat(),
        "file": PARQUET_NAME,
        "sha256": sha256,
        "selection": selection.to_json(),
        "rankings": tally.rankings,
        "prompts": len(tally.prompts),
        "annotators": len(tally.annotators - {""}),
        "comparisons": tally.comparisons,
        "ties": tally.ties,
        "not_rankable": tally.not_rankable,
        "with_strength": tally.with_strength,
        "splits": _sorted(tally.splits),
        "sources": _sorted(tally.sources),
        "rounds": _sorted(tally.rounds),
        "responses_per_ranking": _sorted(tally.sizes),
        "responses_by_model": _sorted(tally.models),
    }


def _sorted(counter: Mapping[Any, int]) -> dict[str, int]:
    return {str(key): counter[key] for key in sorted(counter)}


def _readme(card: Mapping[str, Any]) -> str:
    """A dataset card as the Hugging Face hub reads it: the front matter makes the Parquet file loadable."""
    counts = "\n".join(
        f"| {key.replace('_', ' ')} | {card[key]} |"
        for key in (
            "rankings",
            "prompts",
            "annotators",
            "comparisons",
            "ties",
            "not_rankable",
            "with_strength",
        )
    )
    tables = "\n".join(
        f"- {key.replace('_', ' ')}: "
        + ", ".join(f"{name or '(not named)'}: {n}" for name, n in card[key].items())
        for key in ("splits", "sources", "rounds", "responses_per_ranking", "responses_by_model")
    )
    columns = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in COLUMN_MEANINGS.items())
    selection = json.dumps(card["selection"], ensure_ascii=False) if card["selection"] else "every ranking"
    return f"""---
pretty_name: {json.dumps(card["name"], ensure_ascii=False)}
tags: [human-preference, ranking, rlhf]
configs:
  - config_name: default
    data_files: {card["file"]}
---
# {card["project"]}: {card["name"]}

Human rankings of model responses, one row per ranking, frozen by Rankloop at {card["frozen_at"]}.
The file never changes; its SHA-256 is `{card["sha256"]}`.
Annotators are named by pseudonyms. Selected: {selection}.

| what | how many |
|---|---|
{counts}

{tables}

| column | meaning |
|---|---|
{columns}
"""
