"""Dataset formats for import and export: pure functions that convert bytes to records and rows to bytes. No
Django.

There is one file per format, and `catalog` lists them. `containers` opens a file (JSON Lines, CSV, Parquet,
gzip, zip) and yields its rows; a format turns a row into :class:`~preferences.records.Record` objects.
"""
