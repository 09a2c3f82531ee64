"""docs/formats.md, made from the catalog: what each format reads, writes and loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from preferences.formats.catalog import EXPORT_FORMATS, IMPORT_FORMATS
from preferences.formats.dataset_card import AGGREGATIONS
from preferences.formats.export_format import SPLIT, ExportFormat
from preferences.formats.snapshot_parquet import COLUMN_MEANINGS
from preferences.quirks import QUIRKS
from preferences.records import ImportFormat

HEAD = """# Formats

*Made from the catalog by `manage.py document_formats`; a test keeps it current. Edit `annotation/formats`.*

## In

`manage.py import_responses FILE --project SLUG [--format NAME] [--dry-run]`, or the Data page. JSON Lines, a
JSON array, CSV and Parquet, plain or gzipped, told by content. The format is recognised from the first rows
unless it is named. Rows that can't be read are named with their line and reason; the others go in. A dry run
reports the same and keeps nothing. With `--hub`, FILE is a data set of the Hugging Face hub, OWNER/NAME.

Content is known by what it is, so importing a file again changes nothing. A ranking that comes with a task
closes it. An annotator, by the name the file has, who ranks the same responses again revises: the later
answer counts, the earlier stays as history. Fields a format doesn't know are kept as metadata.
"""
QUIRKS_HEAD = """
### What is odd in real files

Reported with the number of rows and their lines; none of it makes a row fail.
"""
OUT = """## Out

`manage.py freeze_snapshot`, then `manage.py export_snapshot NAME --format FORMAT --out PATH`, or the Data
page. Every export is made from a frozen snapshot while it is read, so its size costs no memory, and the same
snapshot gives the same bytes. Annotators are named by pseudonyms. A format that would have nothing to say is
refused with the reason. Every format but the whole file takes `--option split=train` or `split=heldout`.
"""
SNAPSHOT = """## The snapshot

One row per ranking as Parquet, immutable, with its SHA-256; training reads this file. Columns come only at
the end and are read by name.
"""


def document() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD
    yield from _table(
        ("format", "what it is"), ((known.name, known.title) for known in IMPORT_FORMATS.values())
    )
    for reader in IMPORT_FORMATS.values():
        yield from _reader(reader)
    yield QUIRKS_HEAD
    yield from _table(
        ("quirk", "what was found, and what is done"),
        ((quirk.name, quirk.text) for quirk in QUIRKS.values()),
    )
    yield OUT
    yield from _table(
        ("format", "what it is", "file"),
        ((known.name, known.title, known.suffix) for known in EXPORT_FORMATS.values()),
    )
    for writer in EXPORT_FORMATS.values():
        yield from _writer(writer)
    yield SNAPSHOT
    yield from _table(("column", "meaning"), COLUMN_MEANINGS.items())
    yield ""
    yield "`--aggregation` says what becomes a row:\n"
    for name, meaning in AGGREGATIONS.items():
        yield f"- `{name}`: {meaning}"


def _reader(known: ImportFormat) -> Iterator[str]:
    yield f"\n### {known.name}\n"
    yield f"{known.title}.\n"
    yield f"Reads: {known.reads}\n"
    yield f"Loses: {known.loses}\n"
    yield from _code(known.example)


def _writer(known: ExportFormat) -> Iterator[str]:
    yield f"\n### {known.name}\n"
    yield f"{known.title}. {known.use}\n"
    yield f"Loses: {known.loses}\n"
    for option in known.options:
        if option is SPLIT:
            continue
        yield f"Option `{option.name}`: {option.meaning}.\n"
    if known.imports_as:
        yield f"Comes back in as `{known.imports_as}`.\n"
    if line := known.loads_with(f"FILE{known.suffix}"):
        yield f"Loads with `{line}`.\n"
    if known.trainer:
        yield f"TRL's `{known.trainer}` learns from it as it is.\n"
    yield from _code(known.example)


def _code(text: str) -> Iterator[str]:
    yield f"```\n{text}\n```\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        name, *rest = row
        yield "| " + " | ".join([f"`{name}`", *(cell.replace("|", "\\|") for cell in rest)]) + " |"
