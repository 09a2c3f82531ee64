"""A zip archive of data files, such as a dataset folder.

Sizes declared in an archive are not trusted. Entries are counted before the directory is read, and unpacked
bytes are counted while files are read. Reading Parquet requires random access, but a deflated file can only
be read sequentially. A Parquet file is therefore first unpacked to disk. Every other file is streamed.
"""

from __future__ import annotations

import copy
import io
import lzma
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast

from preferences.formats.containers import limits, truncated_zip
from preferences.formats.containers.limits import Expanded, unpacks_too_far
from preferences.formats.containers.streams import AsRaw, some_of
from preferences.records import FormatError

SUFFIXES = frozenset({".parquet", ".jsonl", ".ndjson", ".json", ".csv"})
# Files that accompany the data in a dataset folder.
DESCRIPTIONS = frozenset(
    {"card.json", "config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
)
OFFICE_FILES = frozenset({"[Content_Types].xml", "mimetype"})
ENTRY_MAGIC = b"PK\x01\x02"  # the signature of an entry in the archive's directory
MAX_ENTRIES = 10_000
COPIED_BYTES = 2**20
ENCRYPTED = 0x1
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,  # includes UnicodeDecodeError, raised for an undecodable entry name
    NotImplementedError,  # raised for an unsupported compression method
    RuntimeError,  # raised for an encrypted entry
)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file in an open archive, readable as long as the archive's stream is open. `cut` is true if the
    archive's end is missing."""

    open: Callable[[zipfile.ZipInfo], IO[bytes]]
    entry: zipfile.ZipInfo
    cut: bool = False

    @property
    def name(self) -> str:
        return self.entry.filename

    @property
    def packed_bytes(self) -> int:
        return self.entry.compress_size


def data_files(stream: BinaryIO) -> list[DataFile]:
    """The archive's data files, sorted by name. If the end of the archive is missing, the files before the
    missing part are returned. Raises FormatError if the archive can't be read, has no data files, or declares
    implausible sizes."""
    _check_entries(stream)
    try:
        archive = zipfile.ZipFile(stream)
        entries = archive.infolist()
    except ZIP_ERRORS as error:
        if cut := _files_before_the_break(stream):
            return cut
        raise FormatError(
            f"The zip archive can't be opened ({error}). Check that the file is complete."
        ) from error
    if any(entry.filename in OFFICE_FILES for entry in entries):
        raise FormatError("This is a spreadsheet or another office document; save it as CSV.")
    found = sorted(
        (entry for entry in entries if not entry.filename.endswith("/") and is_data_file(entry.filename)),
        key=lambda entry: entry.filename,
    )
    if not found:
        raise FormatError(
            "The zip archive contains no data file. The name of a data file ends in "
            f"{', '.join(sorted(SUFFIXES))}, optionally followed by .gz."
        )
    if any(entry.flag_bits & ENCRYPTED for entry in found):
        raise FormatError("The zip archive is encrypted; save it without a password.")
    size = stream.seek(0, io.SEEK_END)
    if sum(entry.compress_size for entry in entries) > size:
        raise FormatError(
            "Entries of the zip archive overlap: the sum of their compressed sizes exceeds the file size."
        )
    expanded = sum(entry.file_size for entry in found)
    if unpacks_too_far(expanded, sum(entry.compress_size for entry in found)):
        raise FormatError(
            f"The zip archive has {size:,} bytes and would unpack to {expanded:,} bytes, but the limit is "
            f"{limits.MAX_EXPANSION_RATIO} times the compressed size."
        )
    return [DataFile(archive.open, entry) for entry in found]


def _files_before_the_break(stream: BinaryIO) -> list[DataFile]:
    entries = list(islice(truncated_zip.entries_of(stream), MAX_ENTRIES))
    if any(entry.filename in OFFICE_FILES or entry.flag_bits & ENCRYPTED for entry in entries):
        return []
    return [
        DataFile(partial(truncated_zip.opened, stream), entry, cut=True)
        for entry in entries
        if not entry.filename.endswith("/") and is_data_file(entry.filename)
    ]


@contextmanager
def opened(file: DataFile) -> Iterator[io.BufferedReader]:
    """A stream of the file's unpacked bytes. The stream can be read only once and only sequentially. Raises
    FormatError if the file is damaged."""
    unchecked = copy.copy(file.entry)
    # zipfile would not deliver the last bytes of a file with a wrong checksum. `_Member` therefore verifies
    # the checksum.
    expected = getattr(unchecked, "CRC", None)
    if expected is not None:
        del unchecked.CRC
    try:
        member = file.open(unchecked)
    except ZIP_ERRORS as error:
        raise FormatError(f"The zip archive is damaged: {error}.") from error
    with member:
        checked = _Member(member, expected)
        bounded = AsRaw(checked, packed_bytes=lambda: file.packed_bytes, what="the zipped file")
        yield io.BufferedReader(bounded)


def unpacked(member: io.BufferedReader, expanded: Expanded) -> BinaryIO:
    """Unpack a Parquet file to a temporary file that is deleted when closed."""
    with ExitStack() as stack:
        table = stack.enter_context(tempfile.TemporaryFile())
        while chunk := member.read(COPIED_BYTES):
            expanded.count(table.write(chunk))
        table.seek(0)
        stack.pop_all()
        return cast(BinaryIO, table)


class _Member:
    """A stream of a file in the archive. If the file is damaged, reading raises FormatError, and the caller
    reports the reason as the last row. `checksum` is None if it is unknown."""

    def __init__(self, member: IO[bytes], checksum: int | None) -> None:
        self._read = some_of(member)
        self._expected = checksum
        self._checksum = 0

    def read(self, size: int) -> bytes:
        try:
            data = self._read(size)
        except ZIP_ERRORS as error:
            detail = f" ({error})" if str(error) else ""
            raise FormatError(f"the zip archive is truncated or damaged here{detail}") from error
        self._checksum = zlib.crc32(data, self._checksum)
        if not data and self._expected not in {None, self._checksum}:
            raise FormatError("the zip archive is truncated or damaged (the checksum of a file is wrong)")
        return data


def is_data_file(name: str) -> bool:
    """Whether a file in a dataset folder contains rows, according to its name."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    return not hidden and path.name not in DESCRIPTIONS and plain.suffix.lower() in SUFFIXES


def _check_entries(stream: BinaryIO) -> None:
    """Raise FormatError if the archive has too many entries. Their signatures are counted, because the
    zipfile module would load the whole directory and could need gigabytes of memory."""
    count, before = 0, b""
    stream.seek(0)
    while chunk := stream.read(COPIED_BYTES):
        text = before + chunk
        count += text.count(ENTRY_MAGIC)
        before = text[-len(ENTRY_MAGIC) + 1 :]
        if count > MAX_ENTRIES:
            raise FormatError(f"The zip archive contains more than {MAX_ENTRIES:,} files.")
    stream.seek(0)
