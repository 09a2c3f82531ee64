"""Files on disk: durable writes, checksums, and errors that report a full disk.

This package uses only the standard library, so that every other package can import it.
"""
