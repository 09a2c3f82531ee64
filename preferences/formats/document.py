"""Generate docs/formats.md from the catalog: the data that each format reads, writes and loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from preferences.formats.catalog import EXPORT_FORMATS, IMPORT_FORMATS
from preferences.formats.dataset_card import AGGREGATIONS
from preferences.formats.export_format import SPLIT, ExportFormat
from preferences.formats.snapshot_parquet import COLUMN_MEANINGS
from preferences.quirks import QUIRKS
from preferences.records import ImportFormat

HEAD = """# Formats

*Generated from the catalog by `manage.py document_formats`; a test fails if this page is out of date. Edit
`preferences/formats`.*

## Import

Import a file with `manage.py import_responses FILE --project SLUG [--format NAME] [--dry-run]` or on the Data
page. The file can be JSON Lines, a JSON array, CSV or Parquet, plain or gzipped. A zip archive of such files,
for example a dataset folder, can also be imported. The type of a file is recognised from its content, not
from its name. Unless you specify the format, it is recognised from the first rows. All files in an archive
must have the same format. Rows that can't be read are reported with their line number and the reason. All
other rows are imported. A dry run (`--dry-run`) produces the same report but stores nothing. With `--hub`,
FILE is the name of a dataset on the Hugging Face Hub (OWNER/NAME).

Text can be UTF-8, UTF-16 or UTF-32. Convert files in other encodings, such as Windows-1252, first. CSV needs
a header that names the columns. The delimiter can be a comma, semicolon, tab or vertical bar. Lines can end
with LF, CRLF or CR. A cell can contain a list or an object as JSON, or as the Python code that pandas writes.
Whole numbers can be written as floats (2.0). NaN and Infinity are treated as missing values. The row numbers
that pandas writes as an unnamed column are left out. If a file is truncated or damaged, the rows before the
damage are imported, and the damage is reported. A truncated Parquet file can't be read, because its list of
columns is at its end.

The columns of a table can have any names. If a column looks like a vote, the file is read in the format
`table`. If no such column can be read, the file is rejected, and the error names the columns. Without this
check, responses that have already been ranked would become open tasks. The check covers the first 50 rows. If
a column contains votes only in later rows, these rows are rejected. A file with votes but without responses
is rejected, too: for example, with a `winner` beside a prompt, or with columns such as `better` and `worse`,
which can contain either the responses or the names of models.

If columns can't be inferred, choose them on the Data page, which shows the first tasks, or with `--map`:

- `--map prompt=COLUMN`
- `--map responses=X,Y`
- `--map vote=COLUMN` (or one column of numbers per response)
- `--map system=COLUMN`
- `--map annotator=COLUMN`
- `--map direction=…`, the meaning of the vote's numbers: `from-0`, `from-1`, `higher`, `lower`,
  `negative-first` or `positive-first`

The project remembers the choice for the next file with the same columns.

`python -m training.rlhf.train_reward_model FILE` reads the same files with the same readers. The command
trains on the rankings, stops if a row can't be read, and rejects a file without rankings.

Prompts and responses are identified by their text, so importing a file again changes nothing. By default, an
imported ranking closes its task, unless annotators have started on the task. With `--votes keep`, the
rankings are stored, and the tasks stay open for annotators. With `--votes ignore`, the rankings are not
stored. Annotators are identified by their name in the file. If an annotator has ranked the same responses
several times, the latest ranking replaces the earlier rankings, which are kept as history. Fields that are
unknown to a format are kept as metadata.

If responses were rated, flagged, commented on or rewritten, but not ordered, this feedback is stored with its
annotator as a ranking without an order. Its task stays open, because the responses still have to be ordered.
Such rankings are not used for training, the review queue or statistics about orders, but their ratings count
towards the agreement on ratings. Snapshots and exports contain these rankings, and the project's pages show
them. A ranking without an order replaces an earlier ranking without an order only if it contains every part
of the earlier ranking. A comment therefore does not replace ratings. If a row contains no judgement of its
responses, its annotator, time and duration are kept as metadata.
"""
QUIRKS_HEAD = """
### Quirks of real files

For each quirk, an import reports the number of affected rows and their line numbers. A quirk never causes a
row to be rejected.
"""
OUT = """## Export

Run `manage.py freeze_snapshot`, then `manage.py export_snapshot NAME --format FORMAT --out PATH`, or use the
Data page. An export streams a frozen snapshot, so memory use is small for files of any size. The same
snapshot always produces the same bytes. Annotators are identified by pseudonyms. An export that would be
empty is refused with the reason. For each format, "Loses" lists the parts of a ranking that are missing or
changed when the export is imported again; a test verifies each list. An import creates new IDs for tasks,
prompts and responses. It does not use the columns `touched`, `kind`, `form_version`, `created_at` and
`decided_by`, which only `ranking`, `csv`, `parquet` and `dataset` contain. It does not store `weight`,
`round`, `source` and `votes`, which are read only if a reward model is trained directly on the file. It
derives `split` from the prompt.

Every format except `parquet` and `dataset` accepts `--option split=train` or `--option split=heldout`. Each
of the two options exports only that split.
"""
SNAPSHOT = """## The snapshot

A snapshot is a Parquet file with one row per ranking. The file never changes, and its SHA-256 is recorded.
Training reads this file. New versions of the format add columns only at the end, and columns are read by
name.
"""


def document() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD
    yield from _table(
        ("format", "description"), ((known.name, known.title) for known in IMPORT_FORMATS.values())
    )
    for reader in IMPORT_FORMATS.values():
        yield from _reader(reader)
    yield QUIRKS_HEAD
    yield from _table(
        ("quirk", "description and handling"),
        ((quirk.name, quirk.text) for quirk in QUIRKS.values()),
    )
    yield OUT
    yield from _table(
        ("format", "description", "file"),
        ((known.name, known.title, known.suffix) for known in EXPORT_FORMATS.values()),
    )
    for writer in EXPORT_FORMATS.values():
        yield from _writer(writer)
    yield SNAPSHOT
    yield from _table(("column", "meaning"), COLUMN_MEANINGS.items())
    yield ""
    yield "`--aggregation` determines what a row contains:\n"
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
    yield f"Loses: {known.losses}\n"
    for option in known.options:
        if option is SPLIT:
            continue
        yield f"Option `{option.name}`: {option.meaning}.\n"
    if known.imports_as:
        yield f"This export can be imported as `{known.imports_as}`.\n"
    if line := known.loads_with(f"FILE{known.suffix}"):
        yield f"Loads with `{line}`.\n"
    if known.trainer:
        yield f"TRL's `{known.trainer}` trains on the unchanged file.\n"
    yield from _code(known.example)


def _code(text: str) -> Iterator[str]:
    yield f"```\n{text}\n```\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        name, *rest = row
        yield "| " + " | ".join([f"`{name}`", *(cell.replace("|", "\\|") for cell in rest)]) + " |"
