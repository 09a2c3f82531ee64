"""Export formats, one per module. Each format turns a snapshot's rows into a file, whose bytes are
generated while the file is being read."""
