"""Export formats, one module each: they turn a snapshot's rows into the bytes of a file, generated as they
are read."""
