"""Dataset formats, in and out: pure functions from bytes to records and from rows to bytes. No Django here.

One file per format; `catalog` lists them. `containers` opens a file (gzip, JSON Lines, CSV, Parquet) and
yields its rows; a format turns one row into one :class:`~preferences.records.Record`.
"""
