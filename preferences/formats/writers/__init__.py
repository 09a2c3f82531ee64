"""One file per export format: from a snapshot's rows to the bytes of a file, made as they are read."""
