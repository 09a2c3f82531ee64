"""The shapes of the tensors in a safetensors file, read from its header. The weights themselves are not read.

A file consists of an eight-byte length, a JSON header of that length, and the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from training.rlhf.models.files.json_files import READING_ERRORS

MAX_HEADER_BYTES = 10_000_000  # the largest known header takes 200 kB
# The limits for all files of a model together. The largest known model has 163 files, with 12 MB of headers.
MAX_FILES, MAX_HEADERS_BYTES = 1000, 50_000_000


class BrokenWeights(ValueError):
    """Raised if a file is not a complete safetensors file."""


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in the file. Raises BrokenWeights."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= min(MAX_HEADER_BYTES, size - 8):
                raise BrokenWeights(f"{file.name} is not a complete safetensors file")
            header = json.loads(stream.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
    except READING_ERRORS as error:
        if isinstance(error, BrokenWeights):
            raise
        raise BrokenWeights(f"the header of {file.name} can't be read") from error
    if end > size:
        raise BrokenWeights(f"{file.name} is truncated: it has {size:,} bytes, but its tensors need {end:,}")
    return shapes


def shapes_in_files(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a model's files. Raises BrokenWeights."""
    listed = list(files)
    if len(listed) > MAX_FILES:
        raise BrokenWeights(f"the model has {len(listed):,} safetensors files, more than {MAX_FILES:,}")
    shapes: dict[str, tuple[int, ...]] = {}
    left = MAX_HEADERS_BYTES
    for file in listed:
        left -= _header_bytes(file)
        if left < 0:
            raise BrokenWeights(
                f"the headers of the safetensors files take more than {MAX_HEADERS_BYTES // 1_000_000} MB"
            )
        shapes |= shapes_in(file)
    return shapes


def _header_bytes(file: Path) -> int:
    try:
        with file.open("rb") as stream:
            return int.from_bytes(stream.read(8), "little")
    except OSError:
        return 0  # `shapes_in` then raises an error with the reason
