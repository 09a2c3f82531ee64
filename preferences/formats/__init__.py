"""Dataset formats for import and export: pure functions that convert bytes to records, or rows to bytes. This
package does not import Django.

Each format has its own module, and `catalog` lists all formats. `containers` opens a file (JSON Lines, CSV,
Parquet, gzip, zip) and yields its rows. A format converts a row to :class:`~preferences.records.Record`
objects.
"""
