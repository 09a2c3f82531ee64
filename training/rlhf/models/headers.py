"""The shapes of the tensors in a safetensors file, read from its header. The weights themselves are not read.

A file consists of an eight-byte length, a JSON header of that length, and the data.
"""

from __future__ import annotations

import json
from pathlib import Path

MAX_HEADER_BYTES = 100_000_000  # the largest known header takes 200 kB


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
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        if isinstance(error, BrokenWeights):
            raise
        raise BrokenWeights(f"the header of {file.name} can't be read") from error
    if end > size:
        raise BrokenWeights(f"{file.name} is truncated: it has {size:,} bytes, and its tensors need {end:,}")
    return shapes
