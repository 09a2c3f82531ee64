"""Detect the format of a file and read its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import BinaryIO

from preferences.checks import check_record
from preferences.fields import given
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.containers.json_rows import NOT_JSON
from preferences.formats.containers.limits import Expanded, NumberedRow
from preferences.formats.containers.reading import read_rows
from preferences.formats.readers import demonstrations, native, prompts
from preferences.formats.readers.table import reader as table
from preferences.formats.readers.table.chosen_mapping import chosen_mapping
from preferences.formats.readers.table.mapping import mapping_of
from preferences.formats.readers.table.votes import LATE_VOTE, has_winner
from preferences.formats.readers.table.without_responses import check_no_vote_without_responses
from preferences.records import FormatError, ImportFormat, Parsed, Row, RowError, TooFewResponses
from preferences.text import printable

RECOGNITION_ROWS = 50
MEDIA_NAMES = frozenset({"image", "images", "audio", "video", "videos"})
NAN_IS_MISSING = "a NaN or Infinity in the row was treated as missing"
# Well-known kinds of files whose content can't be ranked. Each entry contains the fields by which such a file
# is recognised, and a description of its content for the error message.
NOT_RANKABLE = (
    (
        frozenset({"labeler", "question", "label"}),
        "ratings of single reasoning steps, as in PRM800K. Rankloop ranks whole responses",
    ),
    (
        frozenset({"caption", "jpg_0", "jpg_1"}),
        "preferences between images, as in Pick-a-Pic. Rankloop ranks texts",
    ),
)
# Formats that accept rows without a ranking. Such rows can have any further columns, so these columns can
# contain votes.
WITHOUT_VOTES = frozenset({native.FORMAT.name, demonstrations.FORMAT.name, prompts.FORMAT.name})


class NotRankable(FormatError):
    """Raised for a well-known kind of file whose content can't be ranked, whichever columns are chosen."""


@dataclass(frozen=True, slots=True)
class NumberedRecords:
    """The records that a line contains, or the reason why the line can't be read.

    `too_few` is true if the row's only fault is that it has fewer responses than a ranking needs. `file` is
    the file's name in an archive of several files, and is otherwise empty.
    """

    line: int
    records: Parsed
    reason: str = ""
    too_few: bool = False
    file: str = ""


def read_records(
    stream: BinaryIO,
    format_name: str | None = None,
    mapping: Mapping[str, str] | None = None,
    expanded: Expanded | None = None,
) -> tuple[ImportFormat, Iterator[NumberedRecords]]:
    """Return the file's format and its records. If the format is not specified, it is detected. Records are
    read on demand.

    If `mapping` chooses columns (see `readers.table.chosen_mapping`), the format is `table`. Raises
    FormatError if the file can't be opened, or if its first rows fit neither a format nor the mapping.
    """
    rows = read_rows(stream, expanded)
    return records_of_rows(list(islice(rows, RECOGNITION_ROWS)), rows, format_name, mapping)


def records_of_rows(
    head: list[NumberedRow],
    rows: Iterator[NumberedRow],
    format_name: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> tuple[ImportFormat, Iterator[NumberedRecords]]:
    """The result of :func:`read_records` for a file whose first rows have already been read. `head` contains
    the first rows, and `rows` yields all other rows."""
    if format_name is not None and format_name not in IMPORT_FORMATS:
        raise FormatError(
            f"There is no format {format_name!r}; known formats: {', '.join(sorted(IMPORT_FORMATS))}."
        )
    read = [row.row for row in head if row.row is not None]
    if mapping:
        if format_name not in {None, table.FORMAT.name}:
            raise FormatError(f"A mapping can't be combined with the format {format_name}.")
        chosen = chosen_mapping(mapping, read)
        return table.FORMAT, _records(lambda row: table.parse_with(row, chosen), chain(head, rows))
    found = _recognise(read) if format_name is None else IMPORT_FORMATS[format_name]
    if found is None:
        raise FormatError(_not_recognised(head))
    parse = found.parse if found.parser_of is None else found.parser_of(read)
    if format_name is None and found.name in WITHOUT_VOTES:
        parse = _WithoutLateVotes(found, parse, read)
    return found, _records(parse, chain(head, rows))


def _recognise(rows: Sequence[Row]) -> ImportFormat | None:
    """The format of the first row with a known format. If this format accepts rows without a ranking, the
    other columns are first searched for votes, because ranked responses must never become open tasks."""
    formats = (known for row in rows for known in IMPORT_FORMATS.values() if _fits(known, row))
    found = next(formats, None)
    if found is not None and found.name not in WITHOUT_VOTES:
        return found
    if found is native.FORMAT and _has_own_ranking(rows):
        return found
    if mapping_of(rows) is not None:
        return IMPORT_FORMATS[table.FORMAT.name]
    if found is not native.FORMAT and found is not None:
        check_no_vote_without_responses(rows)
    return found


def _has_own_ranking(rows: Sequence[Row]) -> bool:
    """Whether a row has a ranking in the fields of Rankloop's own format. A column that suggests a winner
    takes precedence over a ranking without an order."""
    if any(native.has_order(row) for row in rows):
        return True
    return any(native.has_ranking(row) for row in rows) and not any(has_winner(row) for row in rows)


class _WithoutLateVotes:
    """The parser of a file without votes in its first rows. A field that is filled for the first time in a
    later row can contain a vote. A row with such a vote is rejected, because its responses would otherwise
    become an open task."""

    def __init__(self, found: ImportFormat, parse: Callable[[Row], Parsed], head: Sequence[Row]) -> None:
        self._native = found is native.FORMAT
        self._parse = parse
        self._fields: set[str] = set()
        self._keys: dict[str, set[str]] = {}  # for each field: the keys of the objects in its lists
        for row in head:
            self._add(row)

    def __call__(self, row: Row) -> Parsed:
        if not row.keys() <= self._fields or not self._knows_lists(row):
            self._check(row)
        return self._parse(row)

    def _knows_lists(self, row: Row) -> bool:
        for name, keys in self._keys.items():
            value = row.get(name)
            if isinstance(value, list):
                for item in value:
                    if isinstance(item, dict) and not item.keys() <= keys:
                        return False
        return True

    def _check(self, row: Row) -> None:
        new = [name for name in row if name not in self._fields and given(row[name])]
        lists = [] if self._knows_lists(row) else list(self._keys)
        if not (new or lists) or (self._native and native.has_order(row)):
            return
        if not (self._native and _has_own_ranking([row])) and _has_vote(row, is_native=self._native):
            names = new or lists
            which = names[0] if len(names) == 1 else f"one of the fields {', '.join(names)}"
            raise RowError(f"{which} looks like a vote, but {LATE_VOTE}")
        self._add(row)

    def _add(self, row: Row) -> None:
        self._fields.update(name for name, value in row.items() if given(value))
        for name, value in row.items():
            if isinstance(value, list):
                keys = self._keys.setdefault(name, set())
                keys.update(key for item in value if isinstance(item, dict) for key in item)


def _has_vote(row: Row, *, is_native: bool) -> bool:
    try:
        if mapping_of([row]) is not None:
            return True
        if not is_native:
            check_no_vote_without_responses([row])
        return False
    except FormatError:
        return True


def _fits(known: ImportFormat, row: Row) -> bool:
    try:
        return known.recognises(row)
    except (RowError, RecursionError):
        return False


def _not_recognised(rows: list[NumberedRow]) -> str:
    seen = next((row for row in rows if row.row is not None), None)
    if seen is not None and seen.row is not None:
        for fields, content in NOT_RANKABLE:
            if fields <= seen.row.keys():
                raise NotRankable(f"Nothing can be imported: the file contains {content}.")
        what = f"line {seen.line} has the fields {', '.join(list(seen.row)[:12]) or '(none)'}"
    else:
        what = "; ".join(
            f"{f'{row.file}, ' if row.file else ''}line {row.line}: {printable(row.reason)}"
            for row in rows[:3]
        )
        what = what or "the file has no rows"
        if rows and all(row.reason.startswith(NOT_JSON) for row in rows):
            what += ". Each line must contain one JSON object, or the file must be one array of objects"
    known = "\n".join(f"  {known.name}: {known.title}" for known in IMPORT_FORMATS.values())
    return f"The format is not recognised: {what}. Known formats:\n{known}"


def _records(parse: Callable[[Row], Parsed], rows: Iterator[NumberedRow]) -> Iterator[NumberedRecords]:
    for row in rows:
        if row.row is None:
            yield _refused(row, row.reason)
            continue
        try:
            _check_text_only(row.row)
            records = parse(row.row)
            for record in records:
                check_record(record)
            yield NumberedRecords(
                row.line, _with_quirks(records, row) if row.quirks else records, file=row.file
            )
        except RowError as error:
            reason = f"{error} ({NAN_IS_MISSING})" if row.quirks else str(error)
            yield _refused(row, reason, too_few=isinstance(error, TooFewResponses))
        except RecursionError:
            yield _refused(row, "a value is nested too deeply")


def _check_text_only(row: Row) -> None:
    """Raise RowError if the row has an image, audio or video, because only text can be ranked."""
    if MEDIA_NAMES.isdisjoint(row):
        return
    for name in sorted(MEDIA_NAMES & row.keys()):
        if isinstance(row[name], (dict, list, bytes)) and row[name]:
            raise RowError(
                f"the row has an image, audio or video in {name}, but only text can be ranked; remove the"
                " field to import the text alone"
            )


def _with_quirks(records: Parsed, row: NumberedRow) -> Parsed:
    """The records; the first one also has the quirks of the row."""
    return [
        replace(record, quirks=(*row.quirks, *record.quirks)) if not index else record
        for index, record in enumerate(records)
    ]


def _refused(row: NumberedRow, reason: str, *, too_few: bool = False) -> NumberedRecords:
    return NumberedRecords(row.line, (), printable(reason), too_few, row.file)
